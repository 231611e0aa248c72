//! Tables of an account's world. Names without the `sim_` prefix are what SuiteQL shows.

use rusqlite::{Connection, params};

/// Tables that SuiteQL knows.
pub(crate) const VISIBLE: [&str; 10] = [
    "customer",
    "item",
    "transaction",
    "transactionline",
    "systemnote",
    "deletedrecord",
    "currency",
    "term",
    "employee",
    "dual",
];

/// Declared type of columns that hold a marked moment.
pub(crate) const MOMENT_TYPE: &str = "MOMENT_TEXT";

const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS customer (
  id INTEGER PRIMARY KEY,
  entityid TEXT NOT NULL UNIQUE,
  externalid TEXT UNIQUE,
  companyname TEXT,
  altname TEXT,
  email TEXT,
  phone TEXT,
  creditlimit DECIMAL,
  comments TEXT,
  terms INTEGER,
  currency INTEGER,
  isinactive TEXT NOT NULL,
  isperson TEXT NOT NULL DEFAULT 'F',
  custentity_tags TEXT,
  custentity_loyalty_points INTEGER,
  custentity_concord_stamp TEXT,
  datecreated MOMENT_TEXT COLLATE NS NOT NULL,
  lastmodifieddate MOMENT_TEXT COLLATE NS NOT NULL,
  lastmodifiedby INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS customer_modified ON customer (lastmodifieddate, id);

CREATE TABLE IF NOT EXISTS item (
  id INTEGER PRIMARY KEY,
  itemid TEXT NOT NULL UNIQUE,
  externalid TEXT UNIQUE,
  fullname TEXT,
  displayname TEXT,
  description TEXT,
  baseprice DECIMAL,
  isinactive TEXT NOT NULL,
  itemtype TEXT NOT NULL,
  custitem_concord_stamp TEXT,
  createddate MOMENT_TEXT COLLATE NS NOT NULL,
  lastmodifieddate MOMENT_TEXT COLLATE NS NOT NULL,
  lastmodifiedby INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS item_modified ON item (lastmodifieddate, id);

CREATE TABLE IF NOT EXISTS "transaction" (
  id INTEGER PRIMARY KEY,
  type TEXT NOT NULL DEFAULT 'SalesOrd',
  recordtype TEXT NOT NULL DEFAULT 'salesorder',
  entity INTEGER NOT NULL,
  externalid TEXT UNIQUE,
  tranid TEXT,
  trandate MOMENT_TEXT COLLATE NS,
  memo TEXT,
  status TEXT NOT NULL,
  currency INTEGER,
  exchangerate DECIMAL NOT NULL DEFAULT 1,
  foreigntotal DECIMAL NOT NULL,
  posting TEXT NOT NULL DEFAULT 'F',
  voided TEXT NOT NULL DEFAULT 'F',
  custbody_concord_stamp TEXT,
  createddate MOMENT_TEXT COLLATE NS NOT NULL,
  lastmodifieddate MOMENT_TEXT COLLATE NS NOT NULL,
  lastmodifiedby INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS transaction_modified ON "transaction" (lastmodifieddate, id);
CREATE INDEX IF NOT EXISTS transaction_entity ON "transaction" (entity);

CREATE TABLE IF NOT EXISTS transactionline (
  uniquekey INTEGER PRIMARY KEY AUTOINCREMENT,
  "transaction" INTEGER NOT NULL,
  id INTEGER NOT NULL,
  linesequencenumber INTEGER NOT NULL,
  mainline TEXT NOT NULL,
  taxline TEXT NOT NULL DEFAULT 'F',
  isclosed TEXT NOT NULL DEFAULT 'F',
  item INTEGER,
  itemtype TEXT,
  quantity DECIMAL,
  rate DECIMAL,
  netamount DECIMAL NOT NULL,
  foreignamount DECIMAL NOT NULL,
  linecreateddate MOMENT_TEXT COLLATE NS NOT NULL,
  linelastmodifieddate MOMENT_TEXT COLLATE NS NOT NULL,
  UNIQUE ("transaction", id)
);
CREATE INDEX IF NOT EXISTS transactionline_modified ON transactionline (linelastmodifieddate, uniquekey);
CREATE INDEX IF NOT EXISTS transactionline_item ON transactionline (item);

CREATE TABLE IF NOT EXISTS systemnote (
  id INTEGER PRIMARY KEY,
  date MOMENT_TEXT COLLATE NS NOT NULL,
  field TEXT NOT NULL,
  oldvalue TEXT,
  newvalue TEXT,
  recordid INTEGER NOT NULL,
  recordtypeid INTEGER NOT NULL,
  record TEXT,
  name INTEGER NOT NULL,
  role INTEGER,
  context TEXT NOT NULL,
  type INTEGER NOT NULL,
  lineid INTEGER
);
CREATE INDEX IF NOT EXISTS systemnote_record ON systemnote (recordid, recordtypeid, id);
CREATE INDEX IF NOT EXISTS systemnote_date ON systemnote (date, id);

CREATE TABLE IF NOT EXISTS deletedrecord (
  recordid INTEGER NOT NULL,
  recordtypeid INTEGER NOT NULL,
  scriptid TEXT,
  type TEXT NOT NULL,
  name TEXT,
  deletedby INTEGER NOT NULL,
  deleteddate MOMENT_TEXT COLLATE NS NOT NULL,
  context TEXT NOT NULL,
  iscustomlist TEXT NOT NULL DEFAULT 'F',
  iscustomrecord TEXT NOT NULL DEFAULT 'F',
  iscustomtransaction TEXT NOT NULL DEFAULT 'F'
);
CREATE INDEX IF NOT EXISTS deletedrecord_date ON deletedrecord (deleteddate, type, recordid);

CREATE TABLE IF NOT EXISTS currency (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, symbol TEXT NOT NULL, exchangerate DECIMAL NOT NULL,
  isbasecurrency TEXT NOT NULL, isinactive TEXT NOT NULL DEFAULT 'F'
);
CREATE TABLE IF NOT EXISTS term (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, daysuntilnetdue INTEGER, isinactive TEXT NOT NULL DEFAULT 'F'
);
CREATE TABLE IF NOT EXISTS employee (
  id INTEGER PRIMARY KEY, entityid TEXT NOT NULL UNIQUE, isinactive TEXT NOT NULL DEFAULT 'F'
);
CREATE TABLE IF NOT EXISTS dual (dummy TEXT NOT NULL PRIMARY KEY);

CREATE TABLE IF NOT EXISTS sim_seq (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sim_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sim_order (id INTEGER PRIMARY KEY, next_line INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sim_pending (
  seq INTEGER PRIMARY KEY, due INTEGER NOT NULL, type TEXT NOT NULL, record INTEGER NOT NULL, body TEXT NOT NULL
);
"#;

const TERMS: [(i64, &str, Option<i64>); 8] = [
    (1, "Net 15", Some(15)),
    (2, "Net 30", Some(30)),
    (3, "Net 60", Some(60)),
    (4, "Due on receipt", Some(0)),
    (5, "1% 10 Net 30", Some(30)),
    (6, "2% 10 Net 30", Some(30)),
    (7, "Net 45", Some(45)),
    (8, "Net 90", Some(90)),
];

const CURRENCIES: [(i64, &str, &str, f64); 8] = [
    (1, "US Dollar", "USD", 1.0),
    (2, "British Pound", "GBP", 1.3),
    (3, "Canadian Dollar", "CAD", 0.7),
    (4, "Euro", "EUR", 1.1),
    (5, "Japanese Yen", "JPY", 0.007),
    (6, "Australian Dollar", "AUD", 0.65),
    (7, "Swiss Franc", "CHF", 1.15),
    (8, "Swedish Krona", "SEK", 0.09),
];

/// Where each numbering starts. Ids are never used twice, also not after a reset.
const SEQUENCES: [(&str, i64); 4] = [("customer", 1_001), ("item", 101), ("transaction", 5_001), ("employee", 11)];

/// Creates what is missing; harmless on a world that is complete.
pub(crate) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    tx.execute_batch(TABLES)?;
    for (id, name, days) in TERMS {
        tx.execute("INSERT OR IGNORE INTO term (id, name, daysuntilnetdue) VALUES (?, ?, ?)", params![id, name, days])?;
    }
    for (id, name, symbol, rate) in CURRENCIES {
        let base = if id == 1 { "T" } else { "F" };
        tx.execute(
            "INSERT OR IGNORE INTO currency (id, name, symbol, exchangerate, isbasecurrency) VALUES (?, ?, ?, ?, ?)",
            params![id, name, symbol, rate, base],
        )?;
    }
    for (name, next) in SEQUENCES {
        tx.execute("INSERT OR IGNORE INTO sim_seq (name, next) VALUES (?, ?)", params![name, next])?;
    }
    tx.execute("INSERT OR IGNORE INTO dual (dummy) VALUES ('X')", [])?;
    tx.commit()
}

/// Forgets every record; reference lists, users and numbering stay.
pub(crate) fn clear(connection: &mut Connection) -> rusqlite::Result<()> {
    let tx = connection.transaction()?;
    tx.execute_batch(
        r#"DELETE FROM customer; DELETE FROM item; DELETE FROM "transaction"; DELETE FROM transactionline;
           DELETE FROM systemnote; DELETE FROM deletedrecord; DELETE FROM sim_order; DELETE FROM sim_pending;
           DELETE FROM sim_meta;"#,
    )?;
    tx.commit()
}
