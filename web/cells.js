// What the columns show of a website, and by which of its words a filter finds it: only by what
// can be read in the row.

const NAMES_SHOWN = 3;      // of a website's domains; the others are folded away

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export function element(tag, className, text) {
	const e = document.createElement(tag);
	if (className)
		e.className = className;
	if (text !== undefined)
		e.textContent = text;
	return e;
}

// Today's times by the clock, others by their day.
function timeText(text) {
	const at = new Date(text);
	if (isNaN(at))
		return "";
	return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}

export function time(text) {
	const e = element("time", "", timeText(text));
	e.dateTime = text ?? "";
	if (e.textContent)
		e.title = new Date(text).toLocaleString();
	return e;
}

// A host name that may wrap after its dots.
export function hostname(className, name) {
	const e = element("span", className);
	name.split(/(?<=\.)/).forEach(label => e.append(label, element("wbr")));
	return e;
}

// A value of any length, cut short in its cell: whole in its title.
function clipped(className, text) {
	const e = element("span", className, text);
	e.title = text;
	return e;
}

const origin = {
	group: w => ["group", w.origin_group_name],
	manual: w => ["set", w.origin_set_name],
	redirect: w => [String(w.redirect_status_code ?? "redirect"), w.redirect_url],
};

function originOf(w) {
	const [mode, target] = (origin[w.origin_mode] || (() => [w.origin_mode ?? "", ""]))(w);
	return [mode, target ?? ""];
}

function showDomains(w) {
	const names = w.domains.map((d, i) => hostname(i ? "domain also" : "domain", d));
	if (names.length <= NAMES_SHOWN + 1)
		return names;
	const more = element("details");
	more.append(element("summary", "", `${names.length - NAMES_SHOWN} more`),
		...names.slice(NAMES_SHOWN));
	return [...names.slice(0, NAMES_SHOWN), more];
}

/* text: what is shown, to be compared. show: the same as nodes. isExact: a filter has to give the
 * beginning of one of its words, so that "active" does not find "inactive"; else any part will do. */
export const columns = [
	{
		name: "Domains",
		text: w => w.domains.join("\n"),
		show: showDomains,
	},
	{
		name: "Line group",
		text: w => w.line_group_name || "",
		show: w => [w.line_group_name ? clipped("clipped", w.line_group_name) :
			element("span", "none", "none")],
	},
	{
		name: "Origin",
		text: w => originOf(w).join(" "),
		show: w => {
			const [mode, target] = originOf(w);
			return [element("span", "mode", mode), clipped("target", target)];
		},
	},
	{
		name: "Status",
		isExact: true,
		text: w => String(w.status ?? ""),
		show: w => {
			const e = element("span", "chip", w.status);
			e.dataset.value = w.status;
			return [e];
		},
	},
	{
		name: "HTTPS",
		isExact: true,
		text: w => w.https_enabled ? "on" : "off",
		show: w => [element("span", w.https_enabled ? "on" : "off", w.https_enabled ? "on" : "off")],
	},
	{
		name: "Version",
		isExact: true,
		text: w => String(w.version ?? ""),
		show: w => [String(w.version ?? "")],
		className: "number",
	},
	{
		name: "Updated",
		isExact: true,
		text: w => timeText(w.updated_at),
		show: w => [time(w.updated_at)],
		className: "when",
	},
];

/* A row as the cells can take it, whatever an event had in it: any program may publish one. */
export function website(data, old) {
	const w = { ...old, ...data };
	w.domains = Array.isArray(w.domains) ? w.domains.map(String) : [];
	return w;
}

export const title = w => w.domains[0] ?? `website ${w.id}`;

// ---- the filter ----

let words = [];
let texts = new WeakMap();  // website -> [what any part of is looked for, what beginnings are]

function textOf(w) {
	let text = texts.get(w);
	if (!text) {
		const of = isExact => columns.filter(c => !!c.isExact === isExact)
			.map(c => c.text(w).toLowerCase());
		texts.set(w, text = [of(false).join("\n"), ["", ...of(true).join(" ").split(/\s+/)].join(" ")]);
	}
	return text;
}

export const filter = {
	set(text) {
		words = text.toLowerCase().split(/\s+/).filter(Boolean);
	},

	get isOn() { return words.length > 0; },

	finds(w) {
		if (!words.length)
			return true;
		const [any, beginnings] = textOf(w);
		return words.every(word => any.includes(word) || beginnings.includes(` ${word}`));
	},

	// Is one of the names that are folded away among what was looked for?
	isFolded(w) {
		const names = w.domains.slice(NAMES_SHOWN).join("\n").toLowerCase();
		return words.some(word => names.includes(word));
	},

	// What is shown of times is another on another day.
	forget() {
		texts = new WeakMap();
	},
};
