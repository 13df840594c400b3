BEGIN TRANSACTION;
CREATE TABLE note (
    note_id TEXT PRIMARY KEY,
    group_id TEXT NOT NULL,
    frame TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    written_ns INTEGER NOT NULL,
    edit INTEGER NOT NULL,
    edited_by TEXT NOT NULL,
    edited_ns INTEGER NOT NULL
);
INSERT INTO "note" VALUES('0000000000000001','5f1d8c0a9b3e7742','acme.Charge:authorize','alice','note 1',1760000000000000001,1,'',0);
CREATE INDEX note_of_group ON note (group_id, written_ns, note_id);
CREATE INDEX note_by_time ON note (written_ns, note_id)
;
COMMIT;
PRAGMA user_version = 1;
