"""socket.io-client, newest and 4.0, in Node and in Chromium: what is in the *.test.js here."""


def test_node(node, file, case):
    node.check(file, case)
