-- Claims the next sessions for a polling worker, and hands out again what a lost answer held, in
-- one round trip.
--
-- No row: no such living worker of this registration. One row without a session: nothing for it
-- now. Every row says in `has_inbox` whether messages are due for sessions held before this poll,
-- and in `own_project_id` whose work the worker waits for.
-- Each statement of a volatile function sees what was committed before it, so the slots are
-- counted after the worker's row is locked: two polls of one worker never fill one slot twice, and
-- one that waited for the row sees whether the worker left meanwhile.
create or replace function claim_sessions(
  p_org text, p_worker text, p_registration text, p_most integer, p_lease double precision
) returns table (
  session_id text, issue_id text, issue_identifier text, issue_title text, project_id text,
  project_name text, work_type text, priority integer, queued_at timestamptz, work jsonb,
  provider_session_id text, lease_epoch integer, has_inbox boolean,
  own_project_id text
) language plpgsql as $$
#variable_conflict use_column
declare
  me workers;
  room integer;
  taken integer := 0;
  inbox boolean;
begin
  select * into me from workers w
   where w.id = p_worker and w.org_id = p_org and w.registration_id = p_registration
     and w.revoked_at is null;
  if not found then
    return;
  end if;

  select exists (
    select 1 from sessions s join inbox_messages m on m.org_id = s.org_id and m.session_id = s.id
     where s.slot_worker_id = p_worker and s.confirmed and m.acknowledged_at is null
       and m.offers < 5 and (m.offered_at is null or m.offered_at < now() - interval '30 seconds')
  ) into inbox;

  -- A poll answer may be lost on the wire. What no call ever confirmed is handed out again, under
  -- the same epoch, once two heartbeats since the offer counted fewer than the worker holds.
  if me.short_before_at is not null then
    return query
    update sessions s set offered_at = now()
     where s.slot_worker_id = p_worker and s.status = 'claimed' and not s.confirmed
       and s.offered_at < me.short_before_at
       and s.offered_at < now() - make_interval(secs => p_lease * 0.9)
    returning s.id, s.issue_id, s.issue_identifier, s.issue_title, s.project_id, s.project_name,
              s.work_type, s.priority, s.queued_at, s.work, s.provider_session_id, s.lease_epoch,
              inbox, me.project_id;
    get diagnostics taken = row_count;
  end if;

  -- The usual poll ends here, without a lock.
  if taken < p_most and me.status <> 'draining' and me.retired_at is null and exists (
    select 1 from sessions s
     where s.org_id = p_org and s.project_id = me.project_id and s.status = 'pending'
       and s.waits_for is null)
  then
    select w.capacity into room from workers w
     where w.id = p_worker and w.revoked_at is null and w.retired_at is null
       and w.status <> 'draining'
       for update;
    room := least(p_most - taken,
                  coalesce(room, 0)
                    - (select count(*) from sessions s where s.slot_worker_id = p_worker));
    if room > 0 then
      return query
      with best as (
        select s.org_id, s.id from sessions s
         where s.org_id = p_org and s.project_id = me.project_id and s.status = 'pending'
           and s.waits_for is null
           and (cardinality(me.projects) = 0 or s.project_name = any (me.projects))
           -- What a worker lost is offered to it again only after a lease of silence about it.
           and (s.lost_by_worker_id is distinct from p_worker
                or s.lost_at < now() - make_interval(secs => p_lease))
           and not exists (
             select 1 from session_nacks n
              where n.org_id = s.org_id and n.session_id = s.id and n.worker_id = p_worker
                and n.nacked_at > now() - interval '60 seconds')
         order by s.priority, s.queued_at
         limit room
         for update skip locked
      ), claimed as (
        update sessions s
           set status = 'claimed', worker_id = p_worker, slot_worker_id = p_worker,
               claimed_at = now(), offered_at = now(), confirmed = false,
               updated_at = now(), last_call_at = now(), lease_epoch = s.lease_epoch + 1,
               lost_by_worker_id = null, lost_status = null, lost_at = null
          from best
         where s.org_id = best.org_id and s.id = best.id
        returning s.*
      ), logged as (
        insert into audit_pending
               (org_id, event_type, actor_id, actor_type, entity_type, entity_id, payload)
        select c.org_id, 'session.claimed', p_worker, 'worker', 'session', c.id,
               jsonb_build_object('leaseEpoch', c.lease_epoch, 'projectId', c.project_id)
          from claimed c
      )
      select c.id, c.issue_id, c.issue_identifier, c.issue_title, c.project_id, c.project_name,
             c.work_type, c.priority, c.queued_at, c.work, c.provider_session_id, c.lease_epoch,
             inbox, me.project_id
        from claimed c
       order by c.priority, c.queued_at;
      if found then
        return;
      end if;
    end if;
  end if;

  if taken = 0 then
    return query select null::text, null::text, null::text, null::text, null::text, null::text,
      null::text, null::integer, null::timestamptz, null::jsonb, null::text, null::integer, inbox,
      me.project_id;
  end if;
end
$$;
