// Tables of the repairer's index. It is a view of the logs: a file of another version, or a damaged one,
// is thrown away and read again from the farmers.
export const INDEX_VERSION = 6;

export const INDEX_SCHEMA = `
CREATE TABLE farmers (
  farmer_no INTEGER PRIMARY KEY,
  farmer BLOB NOT NULL UNIQUE,
  pieces INTEGER NOT NULL DEFAULT 0,
  piece_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE owners (
  owner_no INTEGER PRIMARY KEY,
  owner BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE buckets (
  bucket_no INTEGER PRIMARY KEY,
  owner BLOB NOT NULL,
  bucket_id BLOB NOT NULL,
  UNIQUE (owner, bucket_id)
) STRICT;
-- How far each log is applied. cut_seq: up to where the cut that is being applied covers it.
CREATE TABLE logs (
  log_no INTEGER PRIMARY KEY,
  bucket_no INTEGER NOT NULL,
  log_id BLOB NOT NULL,
  seq INTEGER NOT NULL,
  hash BLOB NOT NULL,
  cut_seq INTEGER NOT NULL DEFAULT 0,
  UNIQUE (bucket_no, log_id)
) STRICT;
-- The checkpoint that a bucket was read from: how far it covers each log, as JSON of log id and batch.
CREATE TABLE checkpoints (
  bucket_no INTEGER PRIMARY KEY,
  vector TEXT NOT NULL
) STRICT;
-- refs counts how often the logs brought a segment in, less how often they let it go (below zero while a
-- release was read before what it releases). That is a hint: without references a segment isn't repaired,
-- until a cut drops it or says that it lives. released_ms: when the last hint was written.
CREATE TABLE segments (
  id INTEGER PRIMARY KEY,
  owner BLOB NOT NULL,
  segment_id BLOB NOT NULL,
  refs INTEGER NOT NULL DEFAULT 0,
  released_ms INTEGER NOT NULL DEFAULT 0,
  tag BLOB,
  secret BLOB,
  root BLOB,
  size_bytes INTEGER NOT NULL DEFAULT 0,
  piece_bytes INTEGER NOT NULL DEFAULT 0,
  required INTEGER NOT NULL DEFAULT 0,
  repair INTEGER NOT NULL DEFAULT 0,
  optimal INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL DEFAULT 0,
  margin INTEGER NOT NULL DEFAULT 0,
  state INTEGER NOT NULL DEFAULT 0,
  queued INTEGER NOT NULL DEFAULT 0,
  urgency INTEGER NOT NULL DEFAULT 0,
  queued_ms INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  retry_ms INTEGER NOT NULL DEFAULT 0,
  several_buckets INTEGER NOT NULL DEFAULT 0,
  UNIQUE (owner, segment_id)
) STRICT;
CREATE INDEX segments_by_tag ON segments (tag);
CREATE INDEX segments_live ON segments (state, required, repair, optimal, total, margin) WHERE refs > 0;
CREATE INDEX segments_queue ON segments (urgency, id) WHERE queued = 1;
CREATE INDEX segments_in_several_buckets ON segments (id) WHERE several_buckets = 1;
CREATE INDEX segments_released ON segments (owner, released_ms) WHERE refs <= 0;
-- The last batch of each log that brought the segment in: a cut lets it go only when it covers them all. A copy
-- of an object in another bucket names the same segment: moves are told to every such bucket.
CREATE TABLE namings (
  segment INTEGER NOT NULL,
  log_no INTEGER NOT NULL,
  bucket_no INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (segment, log_no)
) STRICT, WITHOUT ROWID;
-- What audits said of each farmer, and the last signed answers that prove a failure.
CREATE TABLE audit_scores (
  farmer_no INTEGER PRIMARY KEY,
  scores TEXT NOT NULL
) STRICT;
CREATE TABLE audit_evidence (
  at_ms INTEGER NOT NULL,
  farmer_no INTEGER NOT NULL,
  evidence TEXT NOT NULL
) STRICT;
CREATE INDEX audit_evidence_by_time ON audit_evidence (at_ms);
-- Cuts that wait until all logs are read up to their heads, and (one for each owner) the newest applied.
CREATE TABLE cuts (
  owner_no INTEGER NOT NULL,
  cut_ms INTEGER NOT NULL,
  statement BLOB NOT NULL,
  heads TEXT,
  dropped TEXT,
  PRIMARY KEY (owner_no, statement)
) STRICT, WITHOUT ROWID;
-- Pieces of segments that cuts dropped: wherever a farmer has one, it goes to the trash.
CREATE TABLE dropped_pieces (
  owner_no INTEGER NOT NULL,
  piece_id BLOB NOT NULL,
  cut_ms INTEGER NOT NULL,
  PRIMARY KEY (owner_no, piece_id)
) STRICT, WITHOUT ROWID;
-- suspect: 1 = the farmer said that it has no such piece, 2 = it sent wrong bytes. to_move: counts only while
-- its farmer is there, and that farmer leaves or is lost.
CREATE TABLE pieces (
  segment INTEGER NOT NULL,
  piece_number INTEGER NOT NULL,
  farmer_no INTEGER NOT NULL,
  owner_no INTEGER NOT NULL,
  piece_id BLOB NOT NULL,
  suspect INTEGER NOT NULL DEFAULT 0,
  to_move INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (segment, piece_number, farmer_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX pieces_by_farmer ON pieces (farmer_no, segment);
-- What each farmer should have, in the order of ids.
CREATE INDEX pieces_by_id ON pieces (farmer_no, owner_no, piece_id);
CREATE INDEX pieces_to_move ON pieces (farmer_no) WHERE to_move = 1;
-- Placement entries read before the segment that they are about, and those that count, by the bucket that told them.
CREATE TABLE placements_waiting (
  tag BLOB NOT NULL,
  bucket_no INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (tag, bucket_no, sealed)
) STRICT, WITHOUT ROWID;
CREATE TABLE moves (
  segment INTEGER NOT NULL,
  piece_number INTEGER NOT NULL,
  farmer_no INTEGER NOT NULL,
  bucket_no INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  PRIMARY KEY (segment, piece_number, farmer_no, bucket_no)
) STRICT, WITHOUT ROWID;
`;
