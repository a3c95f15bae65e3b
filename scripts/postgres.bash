# A PostgreSQL server of the run's own; scripts/test reads this file, and sets work.
# shellcheck shell=bash disable=SC2154

postgres= # its directory

postgres_programs() { # where its programs are: Debian keeps them off the PATH
  local found
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -1)
  if [ -x "$found/initdb" ]; then
    echo "$found"
  elif command -v initdb >/dev/null; then
    dirname "$(command -v initdb)"
  fi
}

as_postgres() { # PostgreSQL refuses to run as root
  if [ "$(id -u)" = 0 ]; then
    (cd / && runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

start_postgres() {
  local programs
  [ -z "${GATEHOUSE_TEST_POSTGRES:-}" ] || return 0
  programs=$(postgres_programs)
  if [ -z "$programs" ]; then
    echo "PostgreSQL is not installed: the tests that need it are skipped"
    return 0
  fi
  postgres=$(mktemp -d /tmp/gatehouse-pg.XXXXXX) # sockets need a short path
  [ "$(id -u)" != 0 ] || chown postgres "$postgres"
  # Nothing of it outlives the run, so it need not reach the disk.
  if ! as_postgres "$programs/initdb" -D "$postgres/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$work/logs/postgres.log" 2>&1 ||
    ! as_postgres "$programs/pg_ctl" -D "$postgres/data" -l "$postgres/log" -w -o "-k $postgres -c listen_addresses='' -c fsync=off -c max_connections=400 -c shared_buffers=64MB" start >>"$work/logs/postgres.log" 2>&1; then
    tail -20 "$work/logs/postgres.log" "$postgres/log" || true
    echo "PostgreSQL does not start"
    return 1
  fi
  as_postgres "$programs/psql" -q -h "$postgres" -U postgres -c 'CREATE DATABASE gatehouse'
  export GATEHOUSE_TEST_POSTGRES="postgres://postgres@/gatehouse?host=$postgres"
}

stop_postgres() {
  if [ -n "$postgres" ]; then
    as_postgres "$(postgres_programs)/pg_ctl" -D "$postgres/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$postgres"
    postgres=
  fi
}
