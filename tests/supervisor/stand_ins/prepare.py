"""Stands in for migrations and demo rows: notes what it was given."""

import os
import sys

import psycopg

from tests.supervisor.stand_ins.journal import note

if os.environ.get("PREPARE_FAILS"):
    sys.exit("the table is crooked")
with psycopg.connect(os.environ["DATABASE_URL"]) as db:
    db.execute("create table if not exists starts (at timestamptz default now())")
    db.execute("insert into starts default values")
    db.execute("grant select, insert on starts to rensei_web, rensei_jobs")
    count = db.execute("select count(*) from starts").fetchone()
note(f"prepared start {count and count[0]} with {os.environ.get('RENSEI_DEMO_ORG_KEYS')}")
