BEGIN TRANSACTION;
CREATE TABLE change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    change_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    service TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    added_ns INTEGER NOT NULL,
    body TEXT NOT NULL
);
INSERT INTO "change" VALUES(1,'c1','deployment','payment',1760000001000000000,1760000000000000000,'{"change_id":"c1","kind":"deployment","service":"payment","time_ns":1760000001000000000,"version":"v1","previous":"","environment":"","description":"","url":"","source":"api"}');
CREATE INDEX change_time ON change (time_ns, change_id)
;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('change',1);
COMMIT;
PRAGMA user_version = 1;
