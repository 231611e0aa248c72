//! The tables and columns that a mirror needs, written from the public descriptions and not from the catalogue.

use serde_json::{Value as Json, json};

use crate::harness::Sim;

/// Table and columns that queries in the wild select from it.
const TABLES: &[(&str, &str)] = &[
    (
        "customer",
        "id, entityid, externalid, companyname, altname, isperson, firstname, lastname, email, phone, parent, category, \
         currency, terms, pricelevel, salesrep, territory, shippingitem, resalenumber, taxable, creditlimit, \
         entitystatus, searchstage, isinactive, datecreated, lastmodifieddate, defaultbillingaddress, \
         defaultshippingaddress",
    ),
    ("customersubsidiaryrelationship", "id, entity, subsidiary, isprimarysub"),
    (
        "item",
        "id, itemid, fullname, displayname, description, itemtype, subtype, isinactive, parent, class, department, \
         location, subsidiary, unitstype, saleunit, stockunit, purchaseunit, cost, averagecost, lastpurchaseprice, \
         totalquantityonhand, externalid, upccode, createddate, lastmodifieddate",
    ),
    (
        "transaction",
        "id, tranid, transactionnumber, type, recordtype, trandate, status, entity, currency, exchangerate, \
         foreigntotal, posting, postingperiod, memo, otherrefnum, externalid, lastmodifiedby, duedate, createddate, \
         voided, lastmodifieddate",
    ),
    (
        "transactionline",
        "transaction, id, uniquekey, linelastmodifieddate, linecreateddate, linesequencenumber, mainline, taxline, \
         iscogs, item, itemtype, quantity, rate, netamount, foreignamount, units, location, class, department, \
         subsidiary, createdfrom, isclosed, quantityshiprecv, quantitybilled, price",
    ),
    (
        "transactionaccountingline",
        "transaction, transactionline, accountingbook, account, amount, debit, credit, netamount, amountpaid, \
         amountunpaid, amountlinked, exchangerate, posting",
    ),
    (
        "systemnote",
        "id, date, field, oldvalue, newvalue, recordid, recordtypeid, record, name, role, context, type, lineid",
    ),
    (
        "deletedrecord",
        "recordid, recordtypeid, scriptid, deleteddate, deletedby, name, type, context, iscustomlist, iscustomrecord, \
         iscustomtransaction",
    ),
    (
        "inventorybalance",
        "item, location, binnumber, inventorynumber, inventorystatus, quantityonhand, quantityavailable",
    ),
    (
        "inventoryitemlocations",
        "item, location, lastquantityavailablechange, quantityonhand, quantityavailable, quantitycommitted, \
         quantitybackordered, quantityonorder",
    ),
    ("aggregateitemlocation", "item, location, quantityonhand"),
    ("itembinquantity", "item, bin"),
    ("bom", "id, name, isinactive"),
    ("bomrevision", "id, billofmaterials, name, effectivestartdate, effectiveenddate, isinactive"),
    (
        "bomrevisioncomponentmember",
        "id, bomrevision, item, bomquantity, quantity, units, lineid, itemsource, componentyield",
    ),
    ("assemblyitembom", "assembly, billofmaterials, masterdefault, defaultforlocation, currentrevision"),
    ("pricelevel", "id, name, isinactive, discountpct, lastmodifieddate"),
    ("pricing", "internalid, item, pricelevel, quantity, currency, unitprice, saleunit"),
    ("itemprice", "item, pricelevel, price"),
    ("term", "id, name, daysuntilnetdue, discountpercent, lastmodifieddate"),
    ("classification", "id, name, fullname, parent, isinactive, lastmodifieddate"),
    ("department", "id, name, fullname, parent, isinactive, lastmodifieddate"),
    ("location", "id, name, parent, isinactive, mainaddress, subsidiary"),
    ("locationmainaddress", "nkey, addr1, city"),
    ("subsidiary", "id, name, parent, currency, country, iselimination"),
    ("unitstype", "id, name"),
    ("unitstypeuom", "unitstype, internalid, unitname, abbreviation, pluralname, conversionrate, baseunit"),
    ("itemvendor", "item, vendor, vendorcode, purchaseprice, preferredvendor"),
    ("shipitem", "id, itemid"),
    ("paymentmethod", "id, name"),
    ("salesterritory", "id, name"),
    ("salestaxitem", "id, itemid, rate"),
    ("taxtype", "id, name"),
    ("taxitemtaxgroup", "itemid, rate"),
    ("customercategory", "id, name, isinactive"),
    ("vendorcategory", "id, name, isinactive"),
    (
        "employee",
        "id, entityid, firstname, lastname, email, issalesrep, supervisor, subsidiary, department, lastmodifieddate",
    ),
    ("vendor", "id, entityid, companyname, category, terms, currency, email, subsidiary, lastmodifieddate"),
    ("vendorsubsidiaryrelationship", "id, entity, subsidiary"),
    ("contact", "id, entityid, company, email, phone, title, lastmodifieddate"),
    ("account", "id, acctnumber, fullname, lastmodifieddate"),
    ("accountingperiod", "id, periodname, startdate, enddate, closed"),
    ("currency", "id, name, symbol"),
    ("customrecord_sim_machine", "id, recordid, lastmodified, created, name, isinactive, owner"),
    ("customeraddressbook", "internalid, entity, label, defaultbilling, defaultshipping, addressbookaddress"),
    (
        "customeraddressbookentityaddress",
        "nkey, addr1, addr2, addr3, addressee, attention, city, state, dropdownstate, zip, country, addrphone, addrtext, \
         override, recordowner, lastmodifieddate",
    ),
    ("vendoraddressbook", "internalid, entity, addressbookaddress"),
    ("vendoraddressbookentityaddress", "nkey, addr1, lastmodifieddate"),
    ("entity", "id, entityid, type"),
    ("dual", "dummy"),
];

#[tokio::test]
async fn every_table_a_mirror_reads_has_the_columns_it_selects() {
    let sim = Sim::start().await;
    for (table, columns) in TABLES {
        sim.rows(&format!("SELECT {columns} FROM {table} WHERE ROWNUM <= 1")).await;
        sim.rows(&format!("SELECT * FROM {} x", table.to_uppercase())).await;
    }
}

#[tokio::test]
async fn tables_without_a_modification_stamp_have_none() {
    let sim = Sim::start().await;
    for table in
        ["pricing", "inventorybalance", "bomrevisioncomponentmember", "itemvendor", "transactionaccountingline"]
    {
        let text = sim.complaint(&format!("SELECT lastmodifieddate FROM {table}")).await;
        assert_eq!(
            text,
            format!(
                "Search error occurred: Unknown identifier 'lastmodifieddate'. Available identifiers are: \
                 {{{table}={table}}}."
            )
        );
    }
}

#[tokio::test]
async fn fields_of_record_rest_alone_are_unknown_identifiers() {
    let sim = Sim::start().await;
    for (column, table) in [("balance", "customer"), ("subsidiary", "customer"), ("total", "transaction")] {
        let text = sim.complaint(&format!("SELECT {column} FROM {table}")).await;
        assert!(text.starts_with(&format!("Search error occurred: Unknown identifier '{column}'.")), "{text}");
        let all = sim.suiteql(&format!("SELECT * FROM {table}")).await;
        assert!(!all.text().await.unwrap().contains(&format!("\"{column}\"")));
    }
}

#[tokio::test]
async fn an_account_without_a_feature_lacks_its_tables_and_columns() {
    let off = ["oneworld", "multicurrency", "advancedbom", "bins", "multibook"];
    let sim = Sim::with(|account| account.features = off.map(|name| (name.to_owned(), false)).into()).await;
    for (sql, text) in [
        ("SELECT id FROM subsidiary", "Search error occurred: Record 'subsidiary' was not found."),
        ("SELECT id FROM bom", "Search error occurred: Record 'bom' was not found."),
        ("SELECT item FROM itembinquantity", "Search error occurred: Record 'itembinquantity' was not found."),
        (
            "SELECT subsidiary FROM vendor",
            "Search error occurred: Unknown identifier 'subsidiary'. Available identifiers are: {vendor=vendor}.",
        ),
        (
            "SELECT c.currency FROM customer c",
            "Search error occurred: Unknown identifier 'currency'. Available identifiers are: {c=customer}.",
        ),
        (
            "SELECT accountingbook FROM transactionaccountingline tal",
            "Search error occurred: Unknown identifier 'accountingbook'. Available identifiers are: \
             {tal=transactionaccountingline}.",
        ),
    ] {
        assert_eq!(sim.complaint(sql).await, text, "{sql}");
    }
    sim.rows("SELECT id, companyname FROM customer").await;
}

#[tokio::test]
async fn references_and_codes_display_as_users_see_them() {
    let sim = Sim::start().await;
    let vendor = sim.edit("create", "vendor", None, json!({ "companyname": "Supply Co" })).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": 4, "cost": 2 })).await;
    let bill = json!({ "entity": vendor, "lines": [{ "item": item, "quantity": 3 }] });
    let bill = sim.edit("create", "vendorbill", None, bill).await;
    let rows = sim
        .rows(&format!(
            "SELECT BUILTIN.DF(t.entity) AS entity, BUILTIN.DF(t.status) AS status, BUILTIN.DF(t.type) AS type, \
             BUILTIN.DF(tl.item) AS item, BUILTIN.DF(tl.subsidiary) AS subsidiary, tl.quantity, tl.netamount, \
             BUILTIN.DF(i.itemtype) AS kind, t.posting, BUILTIN.DF(tal.account) AS account, tal.debit \
             FROM transaction t JOIN transactionline tl ON tl.transaction = t.id AND tl.mainline = 'F' \
             JOIN item i ON i.id = tl.item JOIN transactionaccountingline tal \
             ON tal.transaction = t.id AND tal.transactionline = tl.id WHERE t.id = {bill}"
        ))
        .await;
    assert_eq!(
        rows,
        [json!({
            "entity": "Supply Co", "status": "Bill : Open", "type": "Bill", "item": "W-1", "subsidiary": "Parent Company",
            "quantity": "3", "netamount": "12", "kind": "Inventory Item", "posting": "T", "account": "Inventory Asset",
            "debit": "12",
        })]
    );
}

#[tokio::test]
async fn oracles_functions_give_what_oracle_gives() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T20:30:05Z" })).await;
    let id = sim.customer(json!({ "creditlimit": "1234.5", "phone": "0711" })).await;
    for (expression, value) in [
        ("companyname || ' / ' || email || phone", json!("Acme / 0711")),
        ("'since ' || datecreated", json!("since 3/2/2026")),
        ("'limit ' || creditlimit", json!("limit 1234.5")),
        ("TO_CHAR(creditlimit, 'FM999,990.00')", json!("1,234.50")),
        ("TO_CHAR(creditlimit)", json!("1234.5")),
        ("TO_CHAR(datecreated, 'MON DD, YYYY HH:MI AM')", json!("MAR 02, 2026 12:30 PM")),
        ("LPAD(phone, 6, '*')", json!("**0711")),
        ("RPAD('ab', 1)", json!("a")),
        ("INITCAP('new york')", json!("New York")),
        ("REPLACE(phone, '7', '')", json!("011")),
        ("NVL2(email, 'yes', 'no')", json!("no")),
        ("NVL(email, '')", Json::Null),
        ("DECODE(phone, '1', 'one', '0711', 'found', 'none')", json!("found")),
        ("CASE WHEN email = '' THEN 'empty' ELSE 'null is not equal' END", json!("null is not equal")),
        ("TO_CHAR(LAST_DAY(datecreated), 'YYYY-MM-DD')", json!("2026-03-31")),
        ("TO_CHAR(ADD_MONTHS(TRUNC(datecreated), 2), 'YYYY-MM-DD')", json!("2026-05-02")),
        ("EXTRACT(YEAR FROM datecreated)", json!("2026")),
        ("MONTHS_BETWEEN(TO_DATE('2026-03-02', 'YYYY-MM-DD'), TO_DATE('2026-01-02', 'YYYY-MM-DD'))", json!("2")),
        ("CEIL(1.2) + FLOOR(1.8) + SIGN(-3) + POWER(2, 3) + SQRT(9)", json!("13")),
        ("MOD(7, 3)", json!("1")),
        ("TRUNC(12.345, 2)", json!("12.34")),
        ("GREATEST(1, 3, 2)", json!("3")),
        ("CAST(id AS VARCHAR(10)) || 'x'", json!(format!("{id}x"))),
        ("SUBSTR(companyname, 2, 2)", json!("cm")),
        ("TO_CHAR(CURRENT_DATE, 'YYYY-MM-DD')", json!("2026-03-02")),
    ] {
        let rows = sim.rows(&format!("SELECT {expression} AS v FROM customer WHERE id = {id}")).await;
        assert_eq!(rows[0].get("v").cloned().unwrap_or(Json::Null), value, "{expression}");
    }
}

#[tokio::test]
async fn what_oracle_refuses_is_refused() {
    let sim = Sim::start().await;
    sim.customer(json!({})).await;
    let unsupported = "Search error occurred: Invalid or unsupported search.";
    for sql in [
        "SELECT id, COUNT(*) AS n FROM customer",
        "SELECT companyname, COUNT(*) AS n FROM customer GROUP BY email",
        "SELECT * FROM customer GROUP BY id",
        "SELECT id FROM customer c, term t WHERE c.terms = t.id(+) OR c.id = 1",
        "SELECT c.id FROM customer c JOIN term t ON t.id = c.terms WHERE c.terms = t.id(+)",
        "SELECT BUILTIN.NOSUCH(id) FROM customer",
        "SELECT GLOB('a', companyname) FROM customer",
    ] {
        assert_eq!(sim.complaint(sql).await, unsupported, "{sql}");
    }
    for sql in
        ["SELECT id AS x FROM customer WHERE x = 1", "SELECT UPPER(email) AS x, COUNT(*) AS n FROM customer GROUP BY x"]
    {
        assert!(sim.complaint(sql).await.starts_with("Search error occurred: Unknown identifier 'x'."), "{sql}");
    }
    for sql in ["SELECT [id] FROM customer", "SELECT id + FROM customer WHERE", "SELECT 'a' + 'b'] FROM dual"] {
        sim.complaint(sql).await;
    }
}

#[tokio::test]
async fn old_outer_joins_keep_the_rows_without_a_partner() {
    let sim = Sim::start().await;
    let with = sim.customer(json!({ "terms": "2", "category": "1" })).await;
    let without = sim.customer(json!({})).await;
    let rows = sim
        .rows(
            "SELECT c.id, t.name AS terms, k.name AS category FROM customer c, term t, customercategory k \
             WHERE c.terms = t.id(+) AND c.category = k.id(+) AND c.id BETWEEN 1 AND 99999 ORDER BY c.id",
        )
        .await;
    assert_eq!(rows, [json!({ "id": with, "terms": "Net 30", "category": "Corporate" }), json!({ "id": without })]);
}
