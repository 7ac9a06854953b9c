#!/bin/bash
# One database and one role per service, and for a second shard of each that can have shards; no role can open another's database.
set -eu
for service in api executor executor_2 rewards rewards_2 stats gateway; do
  psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<SQL
CREATE ROLE lockstep_$service LOGIN PASSWORD '$LOCKSTEP_POSTGRES_PASSWORD';
CREATE DATABASE lockstep_$service OWNER lockstep_$service;
REVOKE CONNECT ON DATABASE lockstep_$service FROM PUBLIC;
SQL
done
