BEGIN TRANSACTION;
CREATE TABLE runbook (
    runbook_id TEXT PRIMARY KEY,
    edit INTEGER NOT NULL,
    edited_ns INTEGER NOT NULL,
    sections INTEGER NOT NULL,
    body TEXT NOT NULL
);
INSERT INTO "runbook" VALUES('5f1d8c0a9b3e7742',1,1760000000000000001,1,'{"runbook_id":"5f1d8c0a9b3e7742","edit":1,"edited_ns":1760000000000000001,"sections":[{"section":"own.0","title":"","text":"call the gateway","commands":[],"edit":1,"edited_ns":1760000000000000000,"generated_version":""}]}');
COMMIT;
PRAGMA user_version = 1;
