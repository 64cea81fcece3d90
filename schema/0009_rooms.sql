-- An event may be for several rooms: their names joined by commas. Instant, as the column's length
-- had two bytes before.
ALTER TABLE ws_events MODIFY room VARCHAR(512) NOT NULL DEFAULT '';
