"""How the PostgreSQL beside a run starts: the script of its container, and the files by which runner and container speak.

The container waits until the runner has something to rehearse, so that a run with nothing pending costs no server. Whatever its image is,
the script is ours: the image brings sh, initdb and postgres. Nothing that a person writes gets into the script; it is read from files.
"""

from typing import Final

SUPERUSER_FILE: Final = "superuser"
"""From the runner: the name of the role that initdb makes, and a line end."""
SETTINGS_FILE: Final = "settings.conf"
"""From the runner: lines for postgresql.conf."""
START_FILE: Final = "start"
"""From the runner, when the others are written: begin."""
STARTED_FILE: Final = "started"
"""From the container: it has begun. When its script finds that, it is another container, and the server was killed with the first."""
ENDED_FILE: Final = "ended"
"""From the container: there is no server any more, or there was never one."""
LOG_FILE: Final = "server.log"
"""What initdb and postgres said."""
DATA_FOLDER: Final = "data"

USER_ANNOTATION: Final = "dbmigration.dev/rehearsal-server-user"
"""On pods: the line of /etc/passwd without which initdb knows no user by our id. It gets there through the downward API."""

SCRIPT: Final = f"""\
cd "$1" || exit 1
for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql*; do PATH="$PATH:$folder"; done
server=
trap '[ -z "$server" ] || {{ kill -QUIT "$server"; wait "$server"; }}; exit 0' INT TERM
rest() {{ : >{ENDED_FILE}; while :; do sleep 1; done; }}
[ ! -e {STARTED_FILE} ] || rest
until [ -e {START_FILE} ]; do sleep 0.2 2>/dev/null || sleep 1; done
: >{STARTED_FILE}
IFS= read -r superuser <{SUPERUSER_FILE}
exec >{LOG_FILE} 2>&1
initdb -D {DATA_FOLDER} -U "$superuser" -E UTF8 --locale=C --auth-local=trust --auth-host=reject --no-sync || rest
cat {SETTINGS_FILE} >>{DATA_FOLDER}/postgresql.conf
postgres -D {DATA_FOLDER} -c listen_addresses= -c unix_socket_directories="$PWD" &
server=$!
wait "$server"
rest
"""
"""For `sh -c SCRIPT sh FOLDER`; Kubernetes replaces $(NAME) and $$ in a command, so there is none.

The admission policy lets no other be run (PodTemplate dbmigration-operator-runs).
"""
