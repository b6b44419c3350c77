-- Notes what each change of a session does to the counts of its project's days.
--
-- A session counts on the day of its last change, with its cost; a completed one counts on the day
-- it finished. What it counted before is taken back where it was counted.
create function note_session_counts() returns trigger language plpgsql as $$
begin
  insert into session_count_changes (org_id, day, project_id, sessions, completed, cost_usd)
  select c.org_id, c.day, c.project_id, sum(c.sessions), sum(c.completed), sum(c.cost_usd)
    from (values
      (old.org_id, old.project_id, (old.updated_at at time zone 'utc')::date,
       -1, 0, -coalesce(old.total_cost_usd, 0)::numeric),
      (new.org_id, new.project_id, (new.updated_at at time zone 'utc')::date,
       1, 0, coalesce(new.total_cost_usd, 0)::numeric),
      (old.org_id, old.project_id,
       (coalesce(old.finished_at, old.updated_at) at time zone 'utc')::date,
       0, case old.status when 'completed' then -1 else 0 end, 0),
      (new.org_id, new.project_id,
       (coalesce(new.finished_at, new.updated_at) at time zone 'utc')::date,
       0, case new.status when 'completed' then 1 else 0 end, 0)
    ) as c (org_id, project_id, day, sessions, completed, cost_usd)
   where c.org_id is not null
   group by c.org_id, c.project_id, c.day
  having sum(c.sessions) <> 0 or sum(c.completed) <> 0 or sum(c.cost_usd) <> 0;
  return null;
end
$$;

create trigger sessions_counted after insert or delete on sessions
  for each row execute function note_session_counts();

-- An activity changes a session too, hundreds of times a day; only the first counts.
create trigger sessions_counted_anew after update on sessions
  for each row when (
    (old.updated_at at time zone 'utc')::date <> (new.updated_at at time zone 'utc')::date
    or old.total_cost_usd is distinct from new.total_cost_usd
    or (old.status = 'completed') <> (new.status = 'completed')
    or old.finished_at is distinct from new.finished_at
    or old.project_id <> new.project_id
  ) execute function note_session_counts();

-- What was there before.
insert into session_counts (org_id, day, project_id, sessions, completed, cost_usd)
select c.org_id, d.day, c.project_id, sum(c.sessions), sum(c.completed), sum(c.cost_usd)
  from (
    select org_id, project_id, (updated_at at time zone 'utc')::date as day,
           1 as sessions, 0 as completed, coalesce(total_cost_usd, 0)::numeric as cost_usd
      from sessions
    union all
    select org_id, project_id, (coalesce(finished_at, updated_at) at time zone 'utc')::date,
           0, 1, 0
      from sessions where status = 'completed'
  ) c
 cross join lateral (values (c.day), ('-infinity'::date)) as d (day)
 group by c.org_id, d.day, c.project_id;
