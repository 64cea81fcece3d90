-- A client that comes back asks for its tenant's events of one topic, and for the last of them: what
-- other tenants have published must not have to be passed over.
ALTER TABLE ws_events ADD KEY ix_ws_events_tenant (tenant_id, topic, id);
