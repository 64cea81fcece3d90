"""Other web servers than a stack's own in front of its cmdb-fcgi processes: each started with a free
port and a configuration of its own in a temporary directory, and stopped by its process id.

As root they are run in a user namespace where they are not: Apache would have its children be
somebody else, who may not use the stack's sockets and files."""
import os
import pathlib
import shutil
import subprocess

from conftest import SLOWER, Api, free_port, wait_until

PATHS = r"^/(socket\.io/|api/|ws/|events$|metrics$|healthz$)"


class Program:
    def __init__(self, args, directory, env=None):
        wrap = []
        if os.getuid() == 0:
            wrap = ["unshare", "-U", "--map-user=1000", "--map-group=1000"]
        self.log = directory / "server.log"
        self._process = subprocess.Popen(
            [*wrap, *args], cwd=directory, stdin=subprocess.DEVNULL, stdout=self.log.open("ab"),
            stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True)

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(20 * SLOWER)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def sockets(stack):
    home = (stack.dir / "sockets.dir").read_text().strip()
    return [f"{home}/fcgi-{i}.sock" for i in (1, 2)]


def fcgi_program(stack):
    return str((pathlib.Path(stack.env["CMDB_CTL"]).parent / "../sbin/cmdb-fcgi").resolve())


def nginx(stack, directory, port):
    """Keeps its connections, and passes bodies on as they come."""
    servers = " ".join(f"server unix:{s};" for s in sockets(stack))
    for name in ("body", "fastcgi", "proxy", "uwsgi", "scgi"):
        (directory / name).mkdir()
    (directory / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path body; fastcgi_temp_path fastcgi; proxy_temp_path proxy;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream cmdb {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location ~ {PATHS} {{
      fastcgi_pass cmdb; fastcgi_keep_conn on; fastcgi_request_buffering off;
      fastcgi_buffering off; fastcgi_read_timeout 120;
      fastcgi_param REQUEST_METHOD $request_method; fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param QUERY_STRING $query_string; fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
    }}
  }}
}}""")
    return ["nginx", "-p", str(directory), "-c", "nginx.conf"]


APACHE = """
ServerRoot {dir}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {dir}/pid
ErrorLog {dir}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
{more}
<Directory />
  Require all granted
</Directory>
"""
MODULES = "/usr/lib/apache2/modules"


def apache(directory, port, more):
    text = APACHE.format(dir=directory, port=port, modules=MODULES, more=more)
    (directory / "apache.conf").write_text(text)
    return ["apache2", "-DFOREGROUND", "-f", str(directory / "apache.conf")]


def apache_proxy(stack, directory, port):
    """mod_proxy_fcgi, which uses its connections again."""
    return apache(directory, port, f"""
LoadModule proxy_module {MODULES}/mod_proxy.so
LoadModule proxy_fcgi_module {MODULES}/mod_proxy_fcgi.so
CGIPassAuth On
<Proxy "unix:{sockets(stack)[0]}|fcgi://cmdb/" enablereuse=on flushpackets=on timeout=120>
</Proxy>
ProxyPassMatch "^/(socket\\.io/.*|api/.*|ws/.*|events|metrics|healthz)$" \
"unix:{sockets(stack)[0]}|fcgi://cmdb/" enablereuse=on flushpackets=on timeout=120
""".replace("CGIPassAuth On", "<Location />\nCGIPassAuth On\n</Location>"))


def wrapper(stack, directory):
    """What a web server starts: it gives programs little of its own environment."""
    program = directory / "cmdb-fcgi"
    keep = "".join(f'{k}="{os.environ[k]}" ' for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
                   if k in os.environ)
    program.write_text(f'#!/bin/sh\n{keep}exec {fcgi_program(stack)} '
                       f'--config {stack.env["CMDB_CONFIG"]}\n')
    program.chmod(0o755)
    return program


def apache_cgid(stack, directory, port):
    """CGI; under the event MPM a program's standard input and output are one UNIX socket."""
    return apache(directory, port, f"""
LoadModule cgid_module {MODULES}/mod_cgid.so
ScriptSock {directory}/cgid.sock
<Location />
CGIPassAuth On
SetHandler cgi-script
Options +ExecCGI
</Location>
ScriptAliasMatch "^/(socket\\.io/.*|api/.*|ws/.*|events|metrics|healthz)$" \
"{wrapper(stack, directory)}/$1"
""")


def apache_fcgid(stack, directory, port):
    """mod_fcgid: it starts the processes, each for one request at a time."""
    return apache(directory, port, f"""
LoadModule fcgid_module {MODULES}/mod_fcgid.so
FcgidIPCDir {directory}/ipc
FcgidProcessTableFile {directory}/ipc/shm
FcgidMaxProcesses 60
FcgidMaxProcessesPerClass 60
FcgidSpawnScoreUpLimit 1000
FcgidOutputBufferSize 0
FcgidIOTimeout 120
FcgidPassHeader Authorization
<Location />
CGIPassAuth On
SetHandler fcgid-script
Options +ExecCGI
</Location>
ScriptAliasMatch "^/(socket\\.io/.*|api/.*|ws/.*|events|metrics|healthz)$" \
"{wrapper(stack, directory)}/$1"
""")


def caddy(stack, directory, port):
    upstreams = " ".join(f"unix/{s}" for s in sockets(stack))
    (directory / "Caddyfile").write_text(f"""{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy {upstreams} {{
    transport fastcgi
    flush_interval -1
  }}
}}
""")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


SERVERS = {f.__name__: f for f in (nginx, apache_proxy, apache_cgid, apache_fcgid, caddy)}


class WebServer:
    """One of SERVERS in front of a stack."""

    def __init__(self, name, stack, directory):
        self.name, self.port = name, free_port()
        directory.mkdir(exist_ok=True)
        (directory / "ipc").mkdir(exist_ok=True)
        args = SERVERS[name](stack, directory, self.port)
        if not shutil.which(args[0]):
            raise FileNotFoundError(args[0])
        self.url = f"http://127.0.0.1:{self.port}"
        self.program = Program(args, directory, {"XDG_CONFIG_HOME": str(directory),
                                                 "XDG_DATA_HOME": str(directory)})
        self.directory = directory
        try:
            wait_until(self.answers, 20, f"{name}: {self.log()}")
        except BaseException:
            print(self.log())
            self.stop()
            raise

    def answers(self):
        try:
            return Api(self.url).get("/healthz").status == 200
        except OSError:
            return False

    def log(self):
        return "".join(p.read_text(errors="replace") for p in self.directory.glob("*.log"))

    def api(self, token=None):
        return Api(self.url, token)

    def stop(self):
        self.program.stop()
