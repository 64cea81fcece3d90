// The table of websites: rows by id, a text filter, and what changed lit up for a moment.

const $ = id => document.getElementById(id);
const SHOWN_STEP = 500;     // rows in the page; more are shown when asked for
const CHANGES_KEPT = 30;

const rows = new Map();     // id -> website
const lines = new Map();    // id -> its <tr>, if it is shown
let isLoaded = false, shown = SHOWN_STEP, words = [], frame = null;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

function element(tag, className, text) {
	const e = document.createElement(tag);
	if (className)
		e.className = className;
	if (text !== undefined)
		e.textContent = text;
	return e;
}

function time(text) {
	const at = new Date(text), e = element("time");
	e.dateTime = text;
	e.title = at.toLocaleString();
	e.textContent = at.toDateString() === new Date().toDateString() ?
		clock.format(at) : day.format(at);
	return e;
}

// A host name that may wrap after its dots.
function hostname(className, name) {
	const e = element("span", className);
	name.split(/(?<=\.)/).forEach(label => e.append(label, element("wbr")));
	return e;
}

// ---- cells: what a column shows of a website, as text to compare and as nodes to show ----

const origin = {
	group: w => ["group", w.origin_group_name],
	manual: w => ["set", w.origin_set_name],
	redirect: w => [String(w.redirect_status_code ?? "redirect"), w.redirect_url],
};

function originOf(w) {
	return (origin[w.origin_mode] || (() => [w.origin_mode, ""]))(w);
}

const columns = [
	{
		name: "Domains",
		text: w => w.domains.join("\n"),
		show: w => w.domains.map((d, i) => hostname(i ? "domain also" : "domain", d)),
	},
	{
		name: "Line group",
		text: w => w.line_group_name || "",
		show: w => [w.line_group_name || element("span", "none", "none")],
	},
	{
		name: "Origin",
		text: w => originOf(w).join(" "),
		show: w => {
			const [mode, target] = originOf(w);
			return [element("span", "mode", mode), element("span", "target", target || "")];
		},
	},
	{
		name: "Status",
		text: w => w.status,
		show: w => {
			const e = element("span", "chip", w.status);
			e.dataset.value = w.status;
			return [e];
		},
	},
	{
		name: "HTTPS",
		text: w => w.https_enabled ? "on" : "off",
		show: w => [element("span", w.https_enabled ? "on" : "off", w.https_enabled ? "on" : "off")],
	},
	{
		name: "Version",
		text: w => String(w.version),
		show: w => [String(w.version)],
		className: "number",
	},
	{
		name: "Updated",
		text: w => w.updated_at,
		show: w => [time(w.updated_at)],
		className: "when",
	},
];

// ---- rows ----

function makeLine(w) {
	const tr = element("tr");
	tr.dataset.id = w.id;
	for (const c of columns) {
		// The first cell names the row for those who cannot see it.
		const cell = element(c === columns[0] ? "th" : "td", c.className);
		if (c === columns[0])
			cell.scope = "row";
		cell.dataset.name = c.name;
		cell.append(...c.show(w));
		tr.append(cell);
	}
	return tr;
}

function light(e, className) {
	e.classList.remove(className);
	void e.offsetWidth;     // so that the animation of a second change starts anew
	e.classList.add(className);
}

function updateLine(tr, old, w) {
	columns.forEach((c, i) => {
		if (c.text(old) === c.text(w))
			return;
		tr.cells[i].replaceChildren(...c.show(w));
		light(tr.cells[i], "changed");
	});
	light(tr, "touched");
}

function isWanted(w) {
	if (!words.length)
		return true;
	const text = columns.map(c => c.text(w)).join("\n").toLowerCase();
	return words.every(word => text.includes(word));
}

function wanted() {
	return [...rows.values()].filter(isWanted).sort((a, b) => a.id - b.id);
}

// What stands around the lines. Many changes at once make for one look at all rows.
function showFrame() {
	const n = words.length ? wanted().length : rows.size, hidden = n - lines.size;
	frame = null;
	$("list").setAttribute("aria-busy", String(!isLoaded));
	$("loading").hidden = isLoaded;
	$("count").textContent = !isLoaded ? "" : words.length ? `${n} of ${rows.size}` : `${n}`;
	$("empty").hidden = !isLoaded || n > 0;
	$("empty").textContent = rows.size === 0 ?
		"There are no websites yet." : "No website matches the filter.";
	$("more").hidden = hidden <= 0;
	$("more").textContent = `Show ${Math.min(SHOWN_STEP, hidden)} more of ${hidden}`;
}

function showFrameSoon() {
	frame ??= requestAnimationFrame(showFrame);
}

function showAll() {
	lines.clear();
	for (const w of wanted().slice(0, shown))
		lines.set(w.id, makeLine(w));
	$("rows").replaceChildren(...lines.values());
	showFrame();
}

// Shows one website where it belongs: the lines are in order of id.
function insertLine(w) {
	if (lines.size >= shown) {
		showAll();
		return lines.get(w.id);
	}
	const tr = makeLine(w);
	let after = null;
	for (const [id, line] of lines)
		if (id > w.id && (!after || id < Number(after.dataset.id)))
			after = line;
	$("rows").insertBefore(tr, after);
	lines.set(w.id, tr);
	return tr;
}

function removeLine(tr, id) {
	if (lines.size >= shown) {
		showAll();
		return;
	}
	lines.delete(id);
	tr.classList.add("gone");
	const remove = () => tr.remove();
	tr.addEventListener("animationend", remove);
	// Where animations are switched off none ends.
	if (getComputedStyle(tr).animationName === "none")
		remove();
}

// ---- latest changes ----

const verbs = { add: "added", update: "updated", delete: "deleted" };

function note(type, w, old) {
	const li = element("li");
	li.dataset.type = type;
	li.append(time(new Date().toISOString()), hostname("what", w.domains[0]),
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
}

// ---- for websites.js ----

export const table = {
	// As if nothing had come yet.
	clear() {
		rows.clear();
		isLoaded = false;
		shown = SHOWN_STEP;
		$("changes").replaceChildren();
		$("no-changes").hidden = false;
		showAll();
	},

	// All the rows.
	set(items) {
		rows.clear();
		for (const w of items)
			rows.set(w.id, w);
		isLoaded = true;
		showAll();
	},

	// One change. An event may come twice or tell what is shown already: that changes nothing.
	apply(type, w) {
		const old = rows.get(w.id);
		if (type === "delete") {
			if (!old)
				return;
			rows.delete(w.id);
			note("delete", old);
			if (lines.has(w.id))
				removeLine(lines.get(w.id), w.id);
		} else {
			if (old && JSON.stringify(old) === JSON.stringify(w))
				return;
			rows.set(w.id, w);
			note(old ? "update" : "add", w, old);
			let tr = lines.get(w.id);
			if (tr && isWanted(w))
				updateLine(tr, old, w);
			else if (tr)
				removeLine(tr, w.id);
			else if (isWanted(w) && (tr = insertLine(w)))
				light(tr, "added");
		}
		showFrameSoon();
	},
};

$("filter").addEventListener("input", () => {
	words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
	shown = SHOWN_STEP;
	showAll();
});
$("more").addEventListener("click", () => {
	shown += SHOWN_STEP;
	showAll();
});
