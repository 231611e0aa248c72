/**
 * What guarded writes do to NetSuite's records: the port of `writes`, in NetSuite's modules.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['N/record', 'N/query', 'N/search', 'N/runtime', 'N/format', 'N/log', './values'], (
    record, query, search, runtime, format, log, values,
) => {
    const UTC = `TO_CHAR(SYS_EXTRACT_UTC(lastmodifieddate),'YYYY-MM-DD"T"HH24:MI:SS"Z"')`;

    /** An item's id does not say which of the item records it is. */
    const itemRecord = (id) => {
        const found = search.lookupFields({ type: search.Type.ITEM, id, columns: ['recordtype'] });
        const name = found && found.recordtype;
        if (!name) throw values.refusal('RCRD_DSNT_EXIST', 'That record does not exist.');
        return String(Array.isArray(name) ? name[0].value : name);
    };

    const load = (type, id) => record.load({ type: type.loadAs || itemRecord(id), id });

    const create = (itemRecordType) => (type) =>
        record.create({ type: type.name === 'item' ? itemRecordType : type.createAs });

    const remove = (loaded, id) => record.delete({ type: loaded.type, id });

    const rowsOf = (statement, params) => query.runSuiteQL({ query: statement, params }).asMappedResults();

    const findExternal = (type, externalId) => {
        const [row] = rowsOf(
            `SELECT id, ${type.stamp} AS stamp, ${UTC} AS modified FROM ${type.table} WHERE externalid = ?`,
            [externalId],
        );
        return row ? { id: String(row.id), stamp: row.stamp, lastModified: row.modified } : null;
    };

    const lastModified = (type, id) => {
        const [row] = rowsOf(`SELECT ${UTC} AS modified FROM ${type.table} WHERE id = ?`, [Number(id)]);
        return row ? row.modified : null;
    };

    /**
     * Whether an instant falls on that day of the session's calendar, the one SuiteQL shows it in. Both are rendered in
     * the user's own format, whatever that is: the instant begins with its day.
     */
    const isOnDay = (instant, day) => {
        const midnight = values.midnight(day);
        if (!midnight) return false;
        const shown = String(format.format({ value: instant, type: format.Type.DATETIME }));
        return shown.startsWith(`${format.format({ value: midnight, type: format.Type.DATE })} `);
    };

    /** The port of one call; `began` is when the script started. */
    const port = (began, itemRecordType) => ({
        load, remove, findExternal, lastModified, isOnDay,
        create: create(itemRecordType),
        save: (changed) => changed.save(),
        remainingUsage: () => runtime.getCurrentScript().getRemainingUsage(),
        elapsedMs: () => Date.now() - began,
        now: () => Date.now(),
        log: (level, title, details) => log[level]({ title, details }),
    });

    return { port };
});
