"""cmdbctl migrate: on databases of its own in the stack's MariaDB."""
import os
import signal
import subprocess

import pymysql
import pytest
from conftest import ROOT, unique, wait_until

SCHEMA = ROOT / "schema"
VERSIONS = len(list(SCHEMA.glob("[0-9]*.sql")))


class Database:
    """A database that does not exist yet, and cmdbctl migrate on it."""

    def __init__(self, stack, db, name):
        self.stack, self.db, self.name = stack, db, name
        self.sets = [f"database.name={name}"]

    def args(self, *args, schema=SCHEMA):
        sets = [part for s in self.sets for part in ("--set", s)]
        return ["migrate", "--schema", schema, *sets, *args]

    def migrate(self, *args, check=True, **more):
        return self.stack.ctl(*self.args(*args, **more), check=check)

    def refused(self, *args, status=1, **more):
        done = self.migrate(*args, check=False, **more)
        assert done.returncode == status, done
        return done.stderr

    def start(self, *args, **more):
        env = self.stack.env
        command = [env["CMDB_CTL"], *map(str, self.args(*args, **more))]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "CMDB_CONFIG": env["CMDB_CONFIG"]})

    def query(self, sql, *args):
        with self.db.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    def tables(self):
        return [row[0] for row in self.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
            " ORDER BY table_name", self.name)]

    def records(self):
        return self.query(f"SELECT * FROM `{self.name}`.schema_migrations ORDER BY version")

    def state(self):
        """All that a migration could have changed."""
        return [(t, self.query(f"SHOW CREATE TABLE `{self.name}`.`{t}`"),
                 self.query(f"CHECKSUM TABLE `{self.name}`.`{t}`")) for t in self.tables()]


@pytest.fixture
def fresh(stack, db):
    name = unique("mig").replace("-", "_")
    yield Database(stack, db, name)
    with db.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")


def files(directory, *texts):
    for old in directory.glob("*.sql"):
        old.unlink()
    for n, text in enumerate(texts, 1):
        (directory / f"{n:04}_part{n}.sql").write_text(text)
    return directory


def test_twice_changes_nothing(fresh):
    made = fresh.migrate("--json")
    assert [a[:4] for a in made["applied"]] == [f"{n:04}" for n in range(1, VERSIONS + 1)]
    assert made["version"] == VERSIONS
    before = fresh.state()
    again = fresh.migrate("--json")
    assert again["applied"] == [] and again["version"] == VERSIONS
    assert fresh.state() == before
    assert "up to" not in fresh.migrate().stderr


def test_status_and_dry_run_change_nothing(fresh, tmp_path):
    schema = files(tmp_path, "CREATE TABLE a (id INT)", "CREATE TABLE b (id INT)")
    status = fresh.migrate("--status", "--json", schema=schema)
    assert [(r["version"], r["name"], r["state"]) for r in status] == [
        (1, "part1", "pending"), (2, "part2", "pending")]
    assert len(fresh.migrate("--dry-run", "--json", schema=schema)) == 2
    assert not fresh.query("SHOW DATABASES LIKE %s", fresh.name)
    fresh.migrate(schema=schema)
    files(tmp_path, *[f.read_text() for f in sorted(schema.glob("*.sql"))], "CREATE TABLE c (i INT)")
    status = fresh.migrate("--status", "--json", schema=schema)
    assert [r["state"] for r in status] == ["applied", "applied", "pending"]
    assert status[0]["at"] and not status[2]["at"]
    assert [r["version"] for r in fresh.migrate("--dry-run", "--json", schema=schema)] == [3]
    assert "c" not in fresh.tables()


def test_several_at_once(fresh, tmp_path):
    schema = files(tmp_path, "DO SLEEP(0.5); CREATE TABLE a (id INT)",
                   "CREATE TABLE b (id INT); INSERT INTO b VALUES (1)")
    started = [fresh.start("--json", schema=schema) for _ in range(4)]
    outs = [(p.communicate(timeout=60), p.returncode) for p in started]
    assert all(code == 0 for _, code in outs), outs
    assert sorted('"applied":[]' in out for (out, _), _ in outs) == [False, True, True, True], outs
    assert any("waiting" in err for (_, err), _ in outs)
    assert fresh.query(f"SELECT * FROM `{fresh.name}`.b") == ((1,),)


def test_changed_file_is_named(fresh, tmp_path):
    schema = files(tmp_path, "CREATE TABLE a (id INT)")
    fresh.migrate(schema=schema)
    files(tmp_path, "CREATE TABLE a (id INT);", "CREATE TABLE b (id INT)")
    for option in ((), ("--dry-run",)):
        assert "0001_part1" in fresh.refused(*option, schema=schema)
    assert fresh.migrate("--status", "--json", schema=schema)[0]["state"] == "changed"
    assert fresh.tables() == ["a", "schema_migrations", "schema_seeds"]


def test_older_program_is_refused(fresh, tmp_path):
    fresh.migrate(schema=files(tmp_path, "CREATE TABLE a (id INT)", "CREATE TABLE b (id INT)"))
    schema = files(tmp_path, "CREATE TABLE a (id INT)")
    assert "newer cmdb" in fresh.refused(schema=schema)
    assert fresh.migrate("--status", "--json", schema=schema)[1]["state"] == "unknown"


def test_half_done_is_refused_until_somebody_has_looked(fresh, tmp_path):
    schema = files(tmp_path, "CREATE TABLE a (id INT)",
                   "CREATE TABLE b (id INT); INSERT INTO nowhere VALUES (1)")
    said = fresh.refused(schema=schema)
    assert "0002_part2: statement 2" in said and "--redo 2" in said and "--mark-done 2" in said
    for option in ((), ("--dry-run",), ("--grants",)):
        assert "--redo 2" in fresh.refused(*option, schema=schema)
    assert fresh.migrate("--status", "--json", schema=schema)[1]["state"] == "unfinished"
    for wrong in ("1", "3", "9999"):
        fresh.refused("--redo", wrong, schema=schema, status=4)
        fresh.refused("--mark-done", wrong, schema=schema, status=4)
    fresh.query(f"DROP TABLE `{fresh.name}`.b")
    fixed = ("CREATE TABLE a (id INT)", "CREATE TABLE b (id INT); INSERT INTO b VALUES (2)")
    files(tmp_path, *fixed)
    assert fresh.migrate("--redo", "2", "--json", schema=schema)["applied"] == ["0002_part2"]
    assert fresh.query(f"SELECT * FROM `{fresh.name}`.b") == ((2,),)
    files(tmp_path, *fixed, "CREATE TABLE c (id INT); SELECT * FROM nowhere")
    fresh.refused(schema=schema)
    files(tmp_path, *fixed, "CREATE TABLE c (id INT)")
    assert fresh.migrate("--mark-done", "3", "--json", schema=schema)["applied"] == []
    fresh.migrate(schema=schema)


def test_nothing_to_mend_when_the_first_statement_fails(fresh, tmp_path):
    schema = files(tmp_path, "CREATE TABLE a (id INTEGERS); CREATE TABLE b (id INT)")
    said = fresh.refused(schema=schema)
    assert "statement 1" in said and "--redo" not in said
    files(tmp_path, "CREATE TABLE a (id INT); CREATE TABLE b (id INT)")
    fresh.migrate(schema=schema)


def test_killed_in_the_middle(fresh, tmp_path):
    """The server ends the statement it is at; until then the lock is held, then the record says
    what happened."""
    schema = files(tmp_path, "CREATE TABLE a (id INT); DO SLEEP(1); CREATE TABLE b (id INT)")
    with fresh.start(schema=schema) as p:
        wait_until(lambda: "a" in fresh.tables(), 20)
        p.send_signal(signal.SIGKILL)
    assert "0001_part1 was begun" in fresh.refused(schema=schema)


def test_server_takes_files_apart(fresh, tmp_path):
    schema = files(tmp_path, """-- it's; a comment
        CREATE TABLE a (id INT, t TEXT) COMMENT 'x;y'; # and; another
        /* one; more */ INSERT INTO a VALUES (1, 'it''s;'), (2, "\\";");
        CREATE TRIGGER tr BEFORE INSERT ON a FOR EACH ROW BEGIN
          SET NEW.t = CONCAT(NEW.t, '!'); SET NEW.id = NEW.id + 1;
        END;
        INSERT INTO a VALUES (3, 'z');
        -- the end""")
    fresh.migrate(schema=schema)
    assert fresh.query(f"SELECT * FROM `{fresh.name}`.a") == ((1, "it's;"), (2, '";'), (4, "z!"))


def test_bad_schema_directory(fresh, tmp_path):
    assert "--schema" in fresh.refused(schema=tmp_path / "none")
    assert "--schema" in fresh.refused(schema=tmp_path)
    (tmp_path / "0002_x.sql").write_text("SELECT 1")
    assert "0001" in fresh.refused(schema=tmp_path)
    assert not fresh.query("SHOW DATABASES LIKE %s", fresh.name)


def test_unreachable(fresh):
    fresh.sets.append("database.socket=/nonexistent/db.sock")
    assert "/nonexistent/db.sock" in fresh.refused(status=3)


def test_seed_once(fresh, tmp_path):
    schema = files(tmp_path, "CREATE TABLE a (id INT PRIMARY KEY)")
    seed = tmp_path / "seed;x.txt"
    seed.write_text("INSERT INTO a VALUES (1); INSERT INTO a VALUES (1)")
    assert "statement 2" in fresh.refused("--seed", seed, schema=schema, status=4)
    assert fresh.query(f"SELECT COUNT(*) FROM `{fresh.name}`.a") == ((0,),)
    seed.write_text("INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)")
    assert fresh.migrate("--seed", seed, "--json", schema=schema)["seeded"] is True
    assert fresh.migrate("--seed", seed, "--json", schema=schema)["seeded"] is False
    assert fresh.query(f"SELECT COUNT(*) FROM `{fresh.name}`.a") == ((2,),)
    fresh.refused("--seed", tmp_path / "none.sql", schema=schema)


@pytest.fixture
def accounts(fresh):
    """Two account names of its own, dropped at the end."""
    names = [unique("f").replace("-", "_"), unique("p").replace("-", "_")]
    fresh.sets += [f"fcgi.db_user={names[0]}", f"poller.db_user={names[1]}",
                   "fcgi.db_password=it's \"f\"\\", "poller.db_password=p1"]
    yield names
    for name in names:
        fresh.query("DROP USER IF EXISTS %s@localhost", name)


def denied(stack, sql, **login):
    with stack.connect(**login) as connection, connection.cursor() as cursor:
        with pytest.raises(pymysql.err.OperationalError) as raised:
            cursor.execute(sql)
    return raised.value.args[0] in (1044, 1142, 1143, 1227, 1419)


def test_grants(fresh, accounts, stack):
    for _ in range(2):
        fresh.migrate("--grants")
    fcgi = dict(user=accounts[0], password="it's \"f\"\\", database=fresh.name)
    poller = dict(user=accounts[1], password="p1", database=fresh.name)
    with stack.connect(**fcgi) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('t','add','1')")
        cursor.execute("UPDATE ws_events SET payload = '2'")
        cursor.execute("SELECT id FROM websites")
        cursor.execute("DELETE FROM ws_events")
    for sql in ("CREATE TABLE x (id INT)", "ALTER TABLE ws_events ADD x INT", "DROP TABLE ws_events",
                "TRUNCATE ws_events", "CREATE TRIGGER x BEFORE INSERT ON ws_events FOR EACH ROW DO 1"):
        assert denied(stack, sql, **fcgi), sql
        assert denied(stack, sql, **poller), sql
    with stack.connect(**poller) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM ws_events WHERE id BETWEEN 1 AND 2 LOCK IN SHARE MODE")
        cursor.execute("SELECT epoch, floor FROM ws_log")
        cursor.execute("UPDATE ws_log SET floor = floor, made_at = NOW(3) WHERE epoch = 'none'")
        for _ in range(2):
            cursor.execute("INSERT INTO ws_pollers (node_id, tail, seen_at) VALUES (9, 1, NOW(3))"
                           " ON DUPLICATE KEY UPDATE tail = VALUES(tail)")
        cursor.execute("DELETE FROM ws_sessions")
        cursor.execute("SELECT username, status FROM users JOIN user_roles ON user_id = users.id")
        cursor.execute("SHOW BINLOG STATUS")
        cursor.execute("INSERT INTO ws_events (topic, event_type, payload) VALUES ('t','add','1')")
        cursor.execute("SELECT device_id FROM devices WHERE is_online FOR UPDATE SKIP LOCKED")
    for sql in ("UPDATE ws_events SET payload = '2'", "DELETE FROM ws_events", "SELECT meta FROM logs",
                "DELETE FROM devices", "UPDATE devices SET status = ''", "DELETE FROM ws_pollers", "UPDATE ws_log SET one = 1", "DELETE FROM ws_log", "SELECT * FROM users",
                "SELECT password_hash FROM users", "SELECT hash FROM api_keys",
                "SELECT id FROM refresh_tokens", "UPDATE users SET status = 'active'"):
        assert denied(stack, sql, **poller), sql
    # An underscore in a database's name stands for itself.
    other = fresh.name.replace("_", "x")
    fresh.query(f"CREATE DATABASE `{other}`")
    try:
        with pytest.raises(pymysql.err.OperationalError):
            stack.connect(**{**fcgi, "database": other})
    finally:
        fresh.query(f"DROP DATABASE `{other}`")


def test_new_password_counts(fresh, accounts, stack):
    fresh.migrate("--grants")
    fresh.sets.append("poller.db_password=p2")
    fresh.migrate("--grants")
    stack.connect(user=accounts[1], password="p2", database=fresh.name).close()
    with pytest.raises(pymysql.err.OperationalError) as raised:
        stack.connect(user=accounts[1], password="p1", database=fresh.name)
    assert raised.value.args[0] == 1045


def test_grants_refuse_what_would_lock_out(fresh, accounts):
    me = fresh.query("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)")[0][0]
    before = fresh.query("SHOW CREATE USER CURRENT_USER()")
    fresh.sets.append(f"fcgi.db_user={me}")
    assert "you are using" in fresh.refused("--grants", status=2)
    fresh.sets.append(f"fcgi.db_user={accounts[1]}")
    assert "each its own" in fresh.refused("--grants", status=2)
    assert fresh.query("SHOW CREATE USER CURRENT_USER()") == before
    assert not fresh.query("SELECT 1 FROM mysql.user WHERE user IN %s", accounts)


def test_the_shape_is_what_the_migrations_make(fresh):
    """doctor goes by the file."""
    fresh.migrate()
    assert fresh.migrate("--shape").stdout == (SCHEMA / "shape.txt").read_text(), (
        "run: cmdbctl migrate --shape > schema/shape.txt")
