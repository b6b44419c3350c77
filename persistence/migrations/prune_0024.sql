-- Removes browser sessions whose time is over, up to `most`; returns how many. The jobs may not read
-- them, and no role may remove one that lives.
create function prune_browser_sessions(most integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone bigint;
begin
  delete from public.browser_sessions where token_hash = any (array(
    select token_hash from public.browser_sessions
     where expires_at < now() order by expires_at limit most
       for update skip locked));
  get diagnostics gone = row_count;
  return gone;
end
$$;
revoke all on function prune_browser_sessions(integer) from public;
grant execute on function prune_browser_sessions(integer) to rensei_jobs;
