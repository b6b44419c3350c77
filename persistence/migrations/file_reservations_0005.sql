-- The name under which a repository's files are reserved: the same for every way to write its
-- address, and without the credential that an address may hold.
create function repository_key(address text) returns text
language sql immutable strict parallel safe as $$
  select regexp_replace(
    regexp_replace(
      regexp_replace(lower(trim(address)), '^([a-z][a-z0-9+.-]*://)?([^/@]*@)?', ''),
      '^([^/:]+):(?![0-9]+/)', '\1/'),
    '/*(\.git)?/*$', '')
$$;

-- A reservation belongs to one claim of a session. It goes when the session ends, is given back,
-- or is claimed anew; a lease that is lost and taken back, and a transfer, keep the claim.
create function free_files() returns trigger language plpgsql as $$
begin
  if exists (
    select 1 from file_reservations f where f.org_id = new.org_id and f.session_id = new.id)
  then
    perform pg_advisory_xact_lock(hashtextextended('files/' || new.org_id, 0));
    delete from file_reservations f where f.org_id = new.org_id and f.session_id = new.id;
  end if;
  return null;
end
$$;

-- At the commit: whoever reserves holds its session's row and then waits for the lock, so that no
-- transaction may have the lock while it still wants rows of further sessions.
create constraint trigger sessions_free_files
  after update of status, claimed_at on sessions
  deferrable initially deferred
  for each row when (
    (new.status in ('completed', 'failed', 'stopped') and old.status <> new.status)
    or (old.claimed_at is not null and new.claimed_at is distinct from old.claimed_at)
  ) execute function free_files();
