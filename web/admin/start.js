// The Socket.IO Admin UI asks for its server's address. It was loaded from that server: fill it in.
"use strict";

const watcher = new MutationObserver(() => {
	const address = document.querySelector(".v-dialog form input[type=text]");
	if (!address)
		return;
	watcher.disconnect();
	if (!address.value) {
		address.value = location.origin;
		address.dispatchEvent(new Event("input"));
	}
});
watcher.observe(document.body, { childList: true, subtree: true });
