-- The change feed: every change of a plugin takes the next revision and announces itself to all
-- instances when its transaction commits. Kept by triggers, so no way of writing can forget it.
create sequence catalogue_revision;

alter table plugins
    -- Grows with any change, counts and ratings included.
    add column revision bigint not null default nextval('catalogue_revision'),
    -- The revision of the last change of what search reads or of which version is current.
    add column text_revision bigint not null default 0;
create index plugins_text_revision_idx on plugins (text_revision);

create function revise_plugin() returns trigger language plpgsql as $$
begin
    new.revision := nextval('catalogue_revision');
    if tg_op = 'INSERT'
       or (new.name, new.description, new.author, new.current_version, new.status)
          is distinct from (old.name, old.description, old.author, old.current_version, old.status) then
        new.text_revision := new.revision;
    end if;
    return new;
end $$;
create trigger plugins_revise before insert or update on plugins for each row execute function revise_plugin();

create function announce_plugin() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        perform pg_notify('catalogue', old.id);
    else
        perform pg_notify('catalogue', new.id || ' ' || new.revision);
    end if;
    return null;
end $$;
create trigger plugins_announce after insert or update or delete on plugins for each row execute function announce_plugin();

-- Owners are shown with their plugin, and people by their display names.
create function revise_owned() returns trigger language plpgsql as $$
begin
    update plugins set revision = 0 where id = coalesce(new.plugin_id, old.plugin_id);
    return null;
end $$;
create trigger plugin_owners_revise after insert or delete on plugin_owners for each row execute function revise_owned();

create function revise_renamed() returns trigger language plpgsql as $$
begin
    update plugins set revision = 0 where id in (
        select plugin_id from plugin_owners where user_id = new.id
        union select plugin_id from plugin_ratings where user_id = new.id);
    return null;
end $$;
create trigger users_revise after update of display_name on users for each row
    when (old.display_name is distinct from new.display_name) execute function revise_renamed();
