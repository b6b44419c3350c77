-- The months of the audit log, in a schema that only the owner may use.
create schema audit_months;

-- What lies outside the months that were made is kept all the same.
create table audit_months.other partition of audit_events default;

-- Makes the months that are missing, from the oldest that waits to be sealed to `ahead` months from
-- now; returns how many it made. Attaching locks out neither readers nor the sealer for long.
create function audit_make_months(ahead integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  month timestamp := date_trunc('month', least(
    (select min(occurred_at) from public.audit_pending), now()) at time zone 'UTC');
  last timestamp := date_trunc('month', now() at time zone 'UTC') + make_interval(months => ahead);
  made integer := 0;
  name text;
begin
  -- Several processes may find the same month missing.
  perform pg_advisory_xact_lock(4027115207);
  while month <= last loop
    name := 'events_' || to_char(month, 'YYYY_MM');
    if to_regclass('audit_months.' || name) is null then
      begin
        execute format(
          'create table audit_months.%I (like public.audit_events including defaults)', name);
        execute format(
          'alter table public.audit_events attach partition audit_months.%I'
          ' for values from (%L) to (%L)',
          name, month at time zone 'UTC', (month + interval '1 month') at time zone 'UTC');
        made := made + 1;
      exception when check_violation then
        -- Rows of that month lie in `other` already; there they stay.
        null;
      end;
    end if;
    month := month + interval '1 month';
  end loop;
  return made;
end
$$;
revoke all on function audit_make_months(integer) from public;
grant execute on function audit_make_months(integer) to rensei_jobs;

-- How long the oldest event has waited to be sealed, in seconds. The web may not read what waits.
create function audit_lag_seconds() returns double precision
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select greatest(extract(epoch from clock_timestamp() - occurred_at), 0)::double precision
     from public.audit_pending order by id limit 1),
    0)
$$;
revoke all on function audit_lag_seconds() from public;
grant execute on function audit_lag_seconds() to rensei_web, rensei_jobs;

select audit_make_months(3);

-- Rows of one workspace at a time, which the transaction names; nobody, the owner included, has a
-- policy to change or remove any.
alter table audit_events enable row level security;
alter table audit_events force row level security;
create policy audit_events_web on audit_events for select to rensei_web
  using (workspace_id = current_setting('rensei.workspace', true));
create policy audit_events_jobs on audit_events for select to rensei_jobs using (true);
create policy audit_events_owner on audit_events for select to current_user using (true);
create policy audit_events_seal on audit_events for insert to rensei_jobs with check (true);

-- Every row goes within a second, so what it leaves behind is cleared away often.
alter table audit_pending set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
