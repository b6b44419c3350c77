-- The packet that rides with a session to its next worker; no row when there is none.
--
-- A function of its own and volatile, so that it sees what was committed before it runs: a session
-- whose lease ended while `claim_sessions` ran is claimed with its packet, not without.
create function recovery_for(p_org text, p_session text)
returns table (recovery_packet_id text, recovery_text text)
language plpgsql volatile strict rows 1 as $$
begin
  return query
  select p.id, p.text
    from sessions s
    join recovery_packets p
      on p.org_id = s.org_id and p.session_id = s.id and p.id = s.recovery_packet_id
   where s.org_id = p_org and s.id = p_session;
end
$$;
