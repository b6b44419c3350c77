-- Notes which issues have something new for the counts of their phases: a session that is made,
-- ends, begins again or costs something else, or a verdict on one. Sessions without an issue have
-- no phases.
create function note_phase_change() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'completions' then
    insert into phase_changes (org_id, project_id, issue_id)
    select s.org_id, s.project_id, s.issue_id
      from sessions s
     where s.org_id = new.org_id and s.id = new.session_id and s.issue_id <> '';
    return null;
  end if;
  insert into phase_changes (org_id, project_id, issue_id)
  select distinct c.org_id, c.project_id, c.issue_id
    from (values (old.org_id, old.project_id, old.issue_id),
                 (new.org_id, new.project_id, new.issue_id)) as c (org_id, project_id, issue_id)
   where c.issue_id <> '';
  return null;
end
$$;

create trigger sessions_phase_noted after insert or delete on sessions
  for each row execute function note_phase_change();

create trigger sessions_phase_noted_anew after update on sessions
  for each row when (
    old.finished_at is distinct from new.finished_at
    or old.total_cost_usd is distinct from new.total_cost_usd
    or (old.status = 'failed') <> (new.status = 'failed')
    or old.work_type <> new.work_type
    or old.issue_id <> new.issue_id
    or old.project_id <> new.project_id
  ) execute function note_phase_change();

create trigger completions_phase_noted after insert on completions
  for each row when (strpos(new.summary, 'WORK_RESULT:failed') > 0)
  execute function note_phase_change();

-- What was there before; the job counts it.
insert into phase_changes (org_id, project_id, issue_id)
select distinct org_id, project_id, issue_id from sessions where issue_id <> '';
