#!/bin/bash
# One database and one role per service, and for a second shard of each that can have shards; no role can open another's database.
# A role's password is LOCKSTEP_POSTGRES_PASSWORD_<SERVICE> where it is set, else LOCKSTEP_POSTGRES_PASSWORD.
set -eu
for service in api executor executor_2 rewards rewards_2 stats gateway; do
  own=LOCKSTEP_POSTGRES_PASSWORD_${service^^}
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<SQL
CREATE ROLE lockstep_$service LOGIN PASSWORD '${!own:-$LOCKSTEP_POSTGRES_PASSWORD}';
CREATE DATABASE lockstep_$service OWNER lockstep_$service;
REVOKE CONNECT ON DATABASE lockstep_$service FROM PUBLIC;
SQL
done
# Set and empty, as docker-compose.yml has it where nobody chose one: without a password the superuser is let in over the local socket alone.
if [ -z "${LOCKSTEP_POSTGRES_ADMIN_PASSWORD-not asked}" ]; then
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -c "ALTER ROLE \"$POSTGRES_USER\" PASSWORD NULL"
fi
