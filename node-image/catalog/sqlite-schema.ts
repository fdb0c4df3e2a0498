// Tables of the SQLite catalog. Keys are BLOBs: SQLite then orders them by byte, and seeks can start at
// byte strings that aren't text. A checkpoint comes in the order of keys or of segments; what is filled from it has the
// same order, since ten million rows in any other would read and write a page for each.

/** Raised when the tables change: a catalog of another version is thrown away and rebuilt from the logs. */
export const SCHEMA_VERSION = 5;

export const SCHEMA = `
  CREATE TABLE positions (owner TEXT, bucket TEXT, log TEXT, seq INTEGER, hash TEXT,
    PRIMARY KEY (owner, bucket, log)) WITHOUT ROWID;
  CREATE TABLE buckets (bucket TEXT PRIMARY KEY, owner TEXT, name TEXT, created_ms INTEGER,
    wall_ms INTEGER, counter INTEGER, log TEXT, deleted INTEGER) WITHOUT ROWID;
  CREATE INDEX buckets_by_name ON buckets (name, created_ms, bucket);
  CREATE INDEX buckets_by_owner ON buckets (owner, name);
  CREATE TABLE usage (bucket TEXT PRIMARY KEY, objects INTEGER, bytes INTEGER, upload_bytes INTEGER) WITHOUT ROWID;
  CREATE TABLE versions (bucket TEXT, key BLOB, version TEXT, is_current INTEGER, wall_ms INTEGER, counter INTEGER,
    log TEXT, size INTEGER, etag TEXT, modified_ms INTEGER, checksum TEXT, attributes TEXT, segments TEXT,
    written_ms INTEGER, written_counter INTEGER, PRIMARY KEY (bucket, key, version)) WITHOUT ROWID;
  CREATE TABLE contents (bucket TEXT, key BLOB, version TEXT, sealed BLOB, PRIMARY KEY (bucket, key, version)) WITHOUT ROWID;
  CREATE TABLE rewrites (bucket TEXT, key BLOB, version TEXT, sealed BLOB, PRIMARY KEY (bucket, key, version)) WITHOUT ROWID;
  CREATE TABLE tombstones (bucket TEXT, key BLOB, version TEXT, PRIMARY KEY (bucket, key, version)) WITHOUT ROWID;
  CREATE TABLE uploads (bucket TEXT, upload TEXT, position BLOB, name TEXT, state TEXT, created_ms INTEGER, attributes TEXT,
    PRIMARY KEY (bucket, upload)) WITHOUT ROWID;
  CREATE INDEX uploads_by_position ON uploads (bucket, position) WHERE state = 'open';
  CREATE TABLE parts (bucket TEXT, upload TEXT, number INTEGER, wall_ms INTEGER, counter INTEGER, size INTEGER,
    etag TEXT, modified_ms INTEGER, checksums TEXT, segments TEXT, sealed BLOB,
    PRIMARY KEY (bucket, upload, number)) WITHOUT ROWID;
  CREATE TABLE segments (bucket TEXT, segment TEXT, refs INTEGER, sealed BLOB, required INTEGER, optimal INTEGER,
    PRIMARY KEY (segment, bucket)) WITHOUT ROWID;
  CREATE INDEX segments_unnamed ON segments (bucket) WHERE refs <= 0;
  CREATE INDEX segments_by_scheme ON segments (bucket, optimal, required) WHERE refs > 0;
  CREATE TABLE restored (bucket TEXT, portion INTEGER, number INTEGER, segment BLOB,
    PRIMARY KEY (bucket, portion, number)) WITHOUT ROWID;
  CREATE TABLE moves (tag TEXT, sealed BLOB, PRIMARY KEY (tag, sealed)) WITHOUT ROWID;
  CREATE TABLE checkpoints (owner TEXT, bucket TEXT, number INTEGER, previous INTEGER, segments TEXT,
    PRIMARY KEY (owner, bucket, number)) WITHOUT ROWID;
  CREATE TABLE uncovered (owner TEXT, bucket TEXT, head_bytes INTEGER, inline_bytes INTEGER,
    PRIMARY KEY (owner, bucket)) WITHOUT ROWID;
  CREATE TABLE settings (name TEXT PRIMARY KEY, sealed BLOB) WITHOUT ROWID;
`;
