// The table of websites, newest on top: rows by id, a filter, and what changed lit up for a moment.
//
// `rows` is what is known, `lines` what is on the page. Changes only mark; render() makes the lines
// what they should be, once a frame for however many changes came.

import { columns, element, filter, title, website } from "./cells.js";
import { changes } from "./changes.js";

const $ = id => document.getElementById(id);
const SHOWN_STEP = 500;     // rows in the page; more are shown when asked for

const rows = new Map();     // id -> website
const lines = new Map();    // id -> its <tr>, if it is shown
const changed = new Map();  // id -> the website that its line shows, or undefined: since render()
const unseen = new Set();   // ids of new rows whose lines have not been in sight
let isLoaded = false, shown = SHOWN_STEP, frame = null;

// ---- lines ----

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

// Writes what is another than before, and returns what is to be lit: [element, class].
function updateLine(tr, old, w) {
	const lit = [[tr, "touched"]];
	columns.forEach((c, i) => {
		if (c.text(old) === c.text(w))
			return;
		tr.cells[i].replaceChildren(...c.show(w));
		lit.push([tr.cells[i], "changed"]);
	});
	unfold(tr, w);
	return lit;
}

// Opens what is folded away where the filter found something in it.
function unfold(tr, w) {
	const more = tr.querySelector("details");
	if (more)
		more.open = filter.isFolded(w);
}

function light(lit) {
	lit.forEach(([e, className]) => e.classList.remove(className));
	void $("rows").offsetWidth;     // so that the animation of a second change starts anew
	lit.forEach(([e, className]) => e.classList.add(className));
}

function removeLine(tr, isShown) {
	sight.unobserve(tr);
	if (!isShown) {
		tr.remove();
		return;
	}
	tr.classList.add("gone");
	const remove = () => tr.remove();
	tr.addEventListener("animationend", remove);
	// Where animations are switched off none ends.
	if (getComputedStyle(tr).animationName === "none")
		remove();
}

/* Makes the lines those of `list`, in its order, which no line ever leaves. Returns the new ones. */
function arrange(list) {
	const made = [], kept = new Set(list.map(w => w.id));
	for (const [id, tr] of lines) {
		if (!kept.has(id)) {
			lines.delete(id);
			removeLine(tr, changed.has(id));
		}
	}
	let at = $("rows").firstElementChild;
	for (const w of list) {
		while (at && at.classList.contains("gone"))
			at = at.nextElementSibling;
		let tr = lines.get(w.id);
		if (tr) {
			at = tr.nextElementSibling;
		} else {
			lines.set(w.id, tr = makeLine(w));
			$("rows").insertBefore(tr, at);
			made.push(tr);
		}
	}
	return made;
}

function wanted() {
	const list = filter.isOn ? [...rows.values()].filter(filter.finds) : [...rows.values()];
	return list.sort((a, b) => b.id - a.id);
}

function render() {
	cancelAnimationFrame(frame);
	frame = null;
	const list = wanted(), lit = [], n = list.length;
	for (const [id, old] of changed)
		if (old && rows.has(id) && lines.has(id))
			lit.push(...updateLine(lines.get(id), old, rows.get(id)));
	for (const tr of arrange(list.slice(0, shown))) {
		const id = Number(tr.dataset.id);
		unfold(tr, rows.get(id));
		if (changed.has(id)) {
			lit.push([tr, "added"]);
			if (!changed.get(id))
				sight.observe(tr);
		}
	}
	changed.clear();
	if (lit.length)
		light(lit);

	const hidden = n - lines.size;
	$("list").setAttribute("aria-busy", String(!isLoaded));
	$("loading").hidden = isLoaded;
	$("count").textContent = !isLoaded ? "" : filter.isOn ? `${n} of ${rows.size}` : `${n}`;
	$("empty").hidden = !isLoaded || n > 0;
	$("empty").textContent = rows.size === 0 ?
		"There are no websites yet." : "No website matches the filter.";
	$("more").hidden = hidden <= 0;
	$("more").textContent = `Show ${Math.min(SHOWN_STEP, hidden)} more of ${hidden}`;
	unseen.forEach(id => lines.has(id) || unseen.delete(id));
	showUnseen();
}

// ---- new rows that are out of sight ----

// The topmost of them.
function firstUnseen() {
	const id = Math.max(...unseen);
	return lines.get(id);
}

function showUnseen() {
	$("new").hidden = unseen.size === 0;
	if (!unseen.size)
		return;
	const isAbove = firstUnseen().getBoundingClientRect().top < innerHeight / 2;
	$("new").textContent = `${isAbove ? "\u2191" : "\u2193"} ${unseen.size} new`;
}

const sight = new IntersectionObserver(entries => {
	for (const { target, isIntersecting } of entries) {
		const id = Number(target.dataset.id);
		if (isIntersecting) {
			unseen.delete(id);
			sight.unobserve(target);
		} else if (lines.has(id)) {
			unseen.add(id);
		}
	}
	showUnseen();
}, { rootMargin: "-100px 0px 0px 0px" });   // what the bar and the head of the table cover

function goTo(tr, className) {
	tr.scrollIntoView({ block: "center" });
	light([[tr, className]]);
}

/* Brings a website into sight. One that is not on the page is looked for by its name. */
function reveal(id) {
	if (!lines.has(id) && rows.has(id)) {
		$("filter").value = title(rows.get(id));
		applyFilter();
	}
	if (lines.has(id))
		goTo(lines.get(id), "added");
}

// ---- for websites.js ----

export const table = {
	get isLoaded() { return isLoaded; },

	// As if nothing had come yet.
	clear() {
		rows.clear();
		isLoaded = false;
		shown = SHOWN_STEP;
		changes.clear();
		changed.clear();
		unseen.clear();
		render();
	},

	// Nothing will come.
	fail() {
		$("list").setAttribute("aria-busy", "false");
		$("loading").hidden = true;
	},

	/* The rows, or, unless isWhole, those with the smallest ids. What is another in them than before
	 * was changed while nobody told us. */
	set(items, isWhole) {
		if (isLoaded) {
			const end = isWhole ? Infinity : items.at(-1).id, left = new Set(rows.keys());
			items.forEach(w => left.delete(w.id));
			left.forEach(id => id <= end && this.apply("delete", { id }, true));
			[...items].sort((a, b) => a.updated_at < b.updated_at ? -1 : 1)
				.forEach(w => this.apply("update", w, true));
			return;
		}
		for (const w of items)
			rows.set(w.id, website(w));
		isLoaded = true;
		render();
	},

	/* One change; isMissed: it came later than it happened. An event may come twice or tell what is
	 * shown already: that changes nothing. */
	apply(type, data, isMissed = false) {
		if (!data || !Number.isInteger(data.id))
			return;
		const { id } = data, old = rows.get(id);
		if (type === "delete") {
			if (!old)
				return;
			rows.delete(id);
			changes.add("delete", old, old, isMissed);
		} else {
			const w = website(data, old);
			if (old && JSON.stringify(old) === JSON.stringify(w))
				return;
			rows.set(id, w);
			changes.add(old ? "update" : "add", w, old, isMissed);
		}
		if (!changed.has(id))
			changed.set(id, old);
		frame ??= requestAnimationFrame(render);
	},
};

// ---- the page ----

function applyFilter() {
	filter.set($("filter").value);
	shown = SHOWN_STEP;
	render();
	lines.forEach((tr, id) => unfold(tr, rows.get(id)));
}

// A new day: what was shown by the clock is shown by its day.
function showDays() {
	filter.forget();
	lines.forEach((tr, id) => columns.forEach((c, i) => c.className === "when" &&
		tr.cells[i].replaceChildren(...c.show(rows.get(id)))));
	atMidnight();
}

function atMidnight() {
	setTimeout(showDays, new Date().setHours(24, 0, 0, 0) - Date.now());
}

$("filter").addEventListener("input", applyFilter);
$("more").addEventListener("click", () => {
	shown += SHOWN_STEP;
	render();
});
$("new").addEventListener("click", () => {
	goTo(firstUnseen(), "added");
	$("list").focus({ preventScroll: true });
});
$("changes").addEventListener("click", event => {
	const what = event.target.closest("button.what");
	if (what)
		reveal(Number(what.dataset.id));
});
atMidnight();
