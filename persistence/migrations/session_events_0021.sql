-- The status as people see it. `contract/` calls it public; `domain/session_states.py` says the same.
create function public_session_status(status text, waits_for text) returns text
  language sql immutable parallel safe as $$
  select case when status in ('claimed', 'running', 'finalizing') then 'working'
              when status = 'pending' then case when waits_for is null then 'queued' else 'parked' end
              else status end
$$;

create function note_session_event() returns trigger language plpgsql as $$
declare
  before text := case tg_op when 'UPDATE' then public_session_status(old.status, old.waits_for) end;
  after text := public_session_status(new.status, new.waits_for);
begin
  if before is distinct from after then
    insert into session_events
           (org_id, project_id, session_id, public_id, issue_identifier, work_type, previous, status)
    values (new.org_id, new.project_id, new.id, new.public_id, new.issue_identifier, new.work_type,
            before, after);
  end if;
  return null;
end
$$;

create trigger sessions_noted after insert on sessions
  for each row execute function note_session_event();

-- Activities and reports update sessions all the time; few of them change the status.
create trigger sessions_noted_anew after update on sessions
  for each row when (
    old.status <> new.status or (old.waits_for is null) <> (new.waits_for is null)
  ) execute function note_session_event();

-- Numbers what was committed since the last time, and says how many there were.
--
-- Whoever numbers waits for the other, and looks only then: each statement of a function that is
-- volatile sees what was committed before it began. An event that is committed later gets a higher
-- number, whenever its transaction began; those of one session keep the order of its changes.
create function number_session_events() returns bigint language plpgsql as $$
declare
  numbered bigint := 0;
begin
  if not exists (select 1 from session_events where seq is null) then
    return 0;
  end if;
  perform pg_advisory_xact_lock(5021, 1);
  with due as (
    select e.org_id, e.id, row_number() over (partition by e.org_id order by e.id) as place
      from (select org_id, id from session_events where seq is null order by id limit 5000) e
  ), many as (
    select org_id, max(place) as count from due group by org_id
  ), fed as (
    insert into event_feeds as f (org_id, last_seq)
    select org_id, count from many order by org_id
    on conflict (org_id) do update set last_seq = f.last_seq + excluded.last_seq
    returning f.org_id, f.last_seq
  )
  update session_events e set seq = fed.last_seq - many.count + due.place
    from due join fed using (org_id) join many using (org_id)
   where e.org_id = due.org_id and e.id = due.id;
  get diagnostics numbered = row_count;
  return numbered;
end
$$;
