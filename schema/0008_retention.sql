-- What is kept briefly has a floor of its own: no cursor for other topics expires by it. No class
-- of topics is kept longer than the one before it, so brief_floor counts as no lower than floor.
ALTER TABLE ws_log ADD COLUMN brief_floor BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'as floor, of topics of brief retention' AFTER floor;
