/**
 * Putting a write's changes onto a loaded or new record: body, stamp, lines. Nothing is saved here.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./fields', './recordview', './values'], (fields, recordview, values) => {
    const absent = (line) =>
        values.refusal('INVALID_KEY_OR_REF', `The line ${line} does not exist on this order.`);

    const removeLines = (record, type, lines) => {
        const indexes = recordview.lineIndexes(record, type);
        const gone = lines.map((line) => {
            if (!indexes.has(String(line.line))) throw absent(line.line);
            return indexes.get(String(line.line));
        });
        // From the end, so that the indexes before it stay what they are.
        Array.from(new Set(gone)).sort((a, b) => b - a).forEach((index) => {
            record.removeLine({ sublistId: type.lines.sublist, line: index });
        });
    };

    const upsertLines = (record, type, lines, isCreate) => {
        const indexes = recordview.lineIndexes(record, type);
        const named = {};
        const added = [];
        lines.forEach((line) => {
            // On a new record every key is only the caller's word for the line.
            const id = isCreate || values.isEmpty(line.line) ? null : String(line.line);
            if (id !== null && !indexes.has(id)) throw absent(id);
            const index = id === null
                ? Math.max(0, record.getLineCount({ sublistId: type.lines.sublist }))
                : indexes.get(id);
            // The item first: NetSuite sources the line's other fields from it.
            const names = Object.keys(line.changes).sort((a, b) => Number(b === 'item') - Number(a === 'item'));
            names.forEach((name) => recordview.setLine(record, type, index, name, line.changes[name]));
            if (id === null) added.push(line.key);
            else named[line.key] = id;
        });
        return { named, added };
    };

    /**
     * Sets everything the item asks for. Answers `named`, the caller's key → line id of lines that have one already,
     * and `added`, the keys of new lines in their order. Throws a refusal or NetSuite's own error.
     */
    const changes = (record, type, item) => {
        Object.keys(item.changes).forEach((name) => recordview.setBody(record, type, name, item.changes[name]));
        record.setValue({ fieldId: type.stamp, value: `${item.rid}:${item.stamp}` });
        if (item.kind === 'create' && item.externalId) {
            record.setValue({ fieldId: 'externalid', value: item.externalId });
        }
        if (!item.lines) return { named: {}, added: [] };
        if (!type.lines) {
            throw values.refusal('NONEXISTENT_FIELD', "Field 'lines' does not exist on this record.");
        }
        removeLines(record, type, item.lines.remove);
        return upsertLines(record, type, item.lines.upsert, item.kind === 'create');
    };

    /** The ids NetSuite gave to new lines: those not known before, in order. Empty where they cannot be told apart. */
    const newLineIds = (record, type, before, added) => {
        const fresh = Array.from(recordview.lineIndexes(record, type).keys()).filter((id) => !before.has(id));
        const ids = {};
        // A script or an item group that adds lines of its own makes guessing worse than silence: a read tells.
        if (fresh.length === added.length) added.forEach((key, at) => { ids[key] = fresh[at]; });
        return ids;
    };

    return { changes, newLineIds };
});
