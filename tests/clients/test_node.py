"""socket.io-client, newest, 4.0 and 3.1, in Node and in Chromium: what is in the *.test.js here."""


def test_node(node, file, case):
    node.check(file, case)
