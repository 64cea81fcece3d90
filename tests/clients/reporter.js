"use strict";
// A reporter for node:test: one line of JSON a test, for conftest.py.

module.exports = async function* (source) {
	for await (const { type, data } of source) {
		const isSuite = data && data.details && data.details.type === "suite";
		if ((type !== "test:pass" && type !== "test:fail") || isSuite || data.nesting === 0)
			continue;
		const error = data.details.error && (data.details.error.cause || data.details.error);
		yield JSON.stringify({
			name: data.name,
			ok: type === "test:pass",
			ms: Math.round(data.details.duration_ms),
			error: error ? String(error.stack || error) : null,
		}) + "\n";
	}
};
