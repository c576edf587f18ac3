# A PostgreSQL of a group's own: new folder, private port, gone when the group ends. Sourced after lib.sh.
# `need "starting PostgreSQL" postgres_start` sets and exports RINGWIRE_TEST_POSTGRES (the URL of a database) and
# RINGWIRE_TEST_PSQL (the client program).

postgres_programs() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }
postgres_install() {
  [[ $(postgres_programs) ]] && return
  apt_install /nonexistent postgresql
}

# PostgreSQL refuses to run as root.
postgres_as_server() {
  if ((EUID == 0)); then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}
postgres_stop() {
  postgres_as_server "$(postgres_programs)/pg_ctl" -D "$postgres_folder/data" -m immediate stop >/dev/null 2>&1
  rm -rf -- "$postgres_folder"
}

postgres_start() {
  postgres_install || return
  local programs try port
  programs=$(postgres_programs)
  postgres_folder=$(mktemp -d /tmp/ringwire-postgres.XXXXXX) || return
  trap postgres_stop EXIT
  trap 'exit 143' TERM INT
  if ((EUID == 0)); then chown postgres "$postgres_folder"; fi
  postgres_as_server "$programs/initdb" -D "$postgres_folder/data" -U ringwire --auth=trust --no-sync \
    >"$LOGS/postgres.log" 2>&1 || return
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    if postgres_as_server "$programs/pg_ctl" -D "$postgres_folder/data" -w -l "$postgres_folder/data/log" \
      -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$postgres_folder -c fsync=off -c max_connections=200" \
      start >>"$LOGS/postgres.log" 2>&1; then
      say "PostgreSQL runs on port $port"
      export RINGWIRE_TEST_POSTGRES=postgres://ringwire@127.0.0.1:$port/postgres RINGWIRE_TEST_PSQL=$programs/psql
      return 0
    fi
  done
  tail -n 20 "$LOGS/postgres.log"
  return 1
}
