// What changed lately, newest first, each with the time at which it happened.

import { columns, element, hostname, time, title } from "./cells.js";

const $ = id => document.getElementById(id);
const CHANGES_KEPT = 30;

const verbs = { add: "added", update: "updated", delete: "deleted" };

/* A row says when it was changed. An event without that (a delete, or a name shown of another row)
 * happened when it came, or, among those that were missed, nobody here knows when. */
function when(type, w, old, isMissed) {
	if (type !== "delete" && w.updated_at && (!old || old.updated_at !== w.updated_at))
		return time(w.updated_at);
	if (!isMissed)
		return time(new Date().toISOString());
	const e = element("span", "away", "while away");
	e.title = "Before this page was connected again";
	return e;
}

export const changes = {
	clear() {
		$("changes").replaceChildren();
		$("no-changes").hidden = false;
	},

	// `old` is the row of before, if there was one.
	add(type, w, old, isMissed) {
		const li = element("li"), what = element("button", "what");
		li.dataset.type = type;
		what.type = "button";
		what.dataset.id = w.id;
		what.disabled = type === "delete";
		what.title = what.disabled ? "" : "Show it in the list";
		what.append(hostname("", title(w)));
		li.append(when(type, w, old, isMissed), what,
			element("span", "verb", verbs[type] || type));
		if (type === "update" && old) {
			const changed = columns.filter(c => c.text(old) !== c.text(w)).map(c => c.name)
				.filter(name => name !== "Version" && name !== "Updated");
			if (changed.length)
				li.append(element("span", "fields", changed.join(", ").toLowerCase()));
		}
		$("changes").prepend(li);
		while ($("changes").children.length > CHANGES_KEPT)
			$("changes").lastElementChild.remove();
		$("no-changes").hidden = true;
	},
};
