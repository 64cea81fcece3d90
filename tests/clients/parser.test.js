"use strict";
// What ends a session is what the reference's own decoder ends one for, and nothing else: packets by
// hand, and mutations of them, are shown to socket.io-parser and to the server.

const { assert, cases, suite, NEWEST } = require("./support");

const PLACE = n => `{"_placeholder":true,"num":${n}}`;
const TEXTS = [
	// the parser's own suite
	"5", '53-["hello",{"_placeholder":true,"num":0}]', '2["b",{"a":"val"}]', '442["some","data"',
	'0/admin,"invalid"', "0[]", "1/admin,{}", '2/admin,"invalid', "2/admin,{}",
	'2[{"toString":"foo"}]', '2[true,"foo"]', '2[null,"bar"]', '2["connect"]',
	'2["disconnect","123"]', "51", "5a-", "51.23-", "999", '51-["hello"]', '2[1,"a",{}]',
	'2["a",1,{}]', '3123["a",1,{}]', "4{}", '4"Unauthorized"', "1/woot", '0/woot,{"token":"123"}',
	// names, payloads, types
	"", "2", "21", "2[]", "2[1,2]", "2[-0.5e+3]", "2[1e999]", "2[01]", '2[[],"a"]', '2"a"', "2null",
	'2["\\u0063onnect"]', '2["connect\\u0000"]', '2["a"]1', '2["a",]', "2['a']", '2["a" ]  ',
	'2[ "a"]', '2[\n"a"\n]\n', '2["a",undefined]', '2["a","\\x"]', '2["a","\t"]', '2["a\u2028"]',
	'2["newListener",1e20]', "3", "3[1]", "31", "31{}", "31[]", "3null", "1", "1{}", "1[]", "11",
	"1 ", "01", "01{}", "0null", '0"x"', " {}", "/", "a", "7", "\u00a0", "\ufeff[]",
	// what our JSON does not take
	'2["a",100000000000000000000]', '2["a",1e20,-1e999]', '2["a","\\ud83d"]', '2["a","\\u0000"]',
	'2["a",{"b":1,"b":2}]', `2["a",${"[".repeat(5000)}${"]".repeat(5000)}]`,
	`2["a",${"[".repeat(5000)}${"]".repeat(4999)}]`, `2["a",${"9".repeat(5000)}]`,
	`2["${"x".repeat(300000)}"]`, '2["a","\u0000"]', '2["\u0000"]',
	// ids
	'2 ["a"]', '2 1["a"]', '21 2["a"]', '20x1["a"]', '21.5["a"]', '2-1["a"]', '2+1["a"]',
	'29007199254740993["a"]', `2${"9".repeat(400)}["a"]`, `2${"0".repeat(400)}7["a"]`,
	'2\u00a0\u3000["a"]', "39007199254740993[]", "3 []",
	// namespaces
	'2/,["a"]', '2/["a"]', '2/other,["a"]', "0/other", "0/other,{}", "0/\u0000,", "0/\n\u007f\u00e4,",
	`0/${"n".repeat(5000)},`, "0", "0{}", "0/,{}",
	// attachments
	'5-["a"]', '50-["a"]', '5 1 -["a"]', '51.0-["a"]', '50x1-["a"]', '51e0-["a"]', '5-1-["a"]',
	'5+1-["a"]', '511-["a"]', '510-["a"]', '51-["a"]', `51-["a",${PLACE(0)}]`, `51-["a",${PLACE(1)}]`,
	`51-["a",${PLACE(-1)}]`, `51-["a",${PLACE(0.5)}]`, `51-["a",${PLACE('"0"')}]`,
	`52-["a",${PLACE(0)},${PLACE(0)}]`, `51-["a",{"_placeholder":1,"num":5}]`,
	'51-["a",{"_placeholder":true}]', `61-1[${PLACE(0)}]`, `61-[${PLACE(0)}]`, "51-", "61-",
	`5Infinity-["a"]`, `5NaN-["a"]`,
];

// xorshift32
function randomOf(seed) {
	return n => {
		seed ^= seed << 13;
		seed ^= seed >>> 17;
		seed ^= seed << 5;
		return (seed >>> 0) % n;
	};
}

const WORDS = ["[", "]", "{", "}", ",", '"', "\\", "/", "-", "0", "1", "9", ".", "e", "x", " ", "\n",
	"a", "null", "true", '"connect"', '"num":', "\\u0000", "\\ud800", "\u00a0", "\u00e9",
	"12345678901234567890", PLACE(0)];

function mutate(text, random) {
	for (let n = 1 + random(3); n; n--) {
		const at = random(text.length + 1), cut = random(3) ? 0 : 1 + random(3);
		const put = random(3) ? WORDS[random(WORDS.length)] : "";
		text = text.slice(0, at) + put + text.slice(at + cut);
	}
	return text;
}

// What becomes of a session that has joined "/", and the binary messages that the packet wants.
function reference(text) {
	const { Decoder, PacketType } = require("socket.io-parser");
	const decoder = new Decoder();
	let packet, wanted = 0;
	decoder.on("decoded", p => { packet = p; });
	try {
		decoder.add(text);
		for (; !packet; wanted++)
			decoder.add(Buffer.from([1, 2, 3]));
	} catch {
		return { ends: true, wanted };
	}
	const ends = packet.type === PacketType.CONNECT ? packet.nsp === "/"
		: packet.type === PacketType.CONNECT_ERROR || packet.nsp !== "/";
	return { ends, wanted, is_over: packet.type === PacketType.DISCONNECT };
}

class Session {
	constructor(w) {
		this.w = w;
		this.mark = 0;
		this.url = `${process.env.CMDB_URL}/socket.io/?EIO=4&transport=polling`;
	}

	async send(method, body) {
		const answer = await fetch(`${this.url}&t=x${++this.mark}`, { method, body });
		return { status: answer.status, text: await answer.text() };
	}

	async open() {
		this.url += `&sid=${JSON.parse((await this.send("GET")).text.slice(1)).sid}`;
		assert.equal((await this.send("POST", `40{"token":"${this.w.token}"}`)).status, 200);
		while (!(await this.send("GET")).text.includes("connected"))
			;
		return this;
	}

	// Is it there, and does it still answer events?
	async lives() {
		if ((await this.send("POST", '42987["no:such"]')).status !== 200)
			return false;
		for (;;) {
			const got = await this.send("GET");
			if (got.status !== 200 || got.text.includes("43987["))
				return got.status === 200;
		}
	}
}

/* Shows each text to both; returns those of which they do not think alike. A session that lives
 * goes on with the next. */
async function compare(w, texts) {
	const odd = [];
	const rest = [...texts];
	await Promise.all(Array.from({ length: 6 }, async () => {
		let session;
		for (let text; (text = rest.pop()) !== undefined;) {
			const want = reference(text);
			session ||= await new Session(w).open();
			const body = ["4" + text, ...Array(want.wanted).fill("bAQID")].join("\x1e");
			const { status } = await session.send("POST", body);
			const lives = status === 200 && (want.is_over || await session.lives());
			if (lives === want.ends)
				odd.push(`${JSON.stringify(text).slice(0, 200)}: ${status}`);
			if (!lives || want.is_over)
				session = null;
		}
	}));
	return odd;
}

suite(cases({
	clients: NEWEST.slice(0, 1),
	tests: {
		"a session ends for what the reference's decoder refuses": async w => {
			assert.deepEqual(await compare(w, TEXTS), []);
		},

		// A query behind a namespace is cut off here, as python-socketio does it; and one POST is
		// one payload.
		"so it is with whatever is not quite a packet": async w => {
			const random = randomOf(0x5eed);
			const texts = Array.from({ length: 400 }, () => mutate(TEXTS[random(TEXTS.length)], random));
			assert.deepEqual(await compare(w, texts.filter(t => t.length < 1000)), []);
		},
	},
}));
