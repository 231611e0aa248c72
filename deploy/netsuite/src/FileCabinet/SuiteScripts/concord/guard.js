/**
 * The guard of a write: may it land on the record as it is now? (semantics 2.9)
 *
 * The stamp `rid:n` on the record is the fencing token, and the proof that a write landed. It belongs to one rid: a
 * record made by copying carries the stamp of its original, which says nothing about the copy.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./recordview', './values'], (recordview, values) => {
    /** The number of a stored stamp if it is of this rid, else 0. */
    const stampNumber = (stored, rid) => {
        const text = values.isEmpty(stored) ? '' : String(stored);
        const colon = text.lastIndexOf(':');
        if (colon < 0 || text.slice(0, colon).toLowerCase() !== String(rid).toLowerCase()) return 0;
        const number = text.slice(colon + 1);
        return /^\d{1,15}$/.test(number) ? Number(number) : 0;
    };

    const holds = (found, wire, isOnDay) => found !== null && values.matches(found.value, found.kind, wire, isOnDay);

    const lineHolds = (record, type, indexes, id, pre, isOnDay) => {
        const index = indexes.get(String(id));
        if (index === undefined) return false;
        return Object.keys(pre || {}).every((name) =>
            holds(recordview.line(record, type, index, name), pre[name], isOnDay));
    };

    /** A whole shadow names every line there is: one more or one less is somebody's edit. */
    const allLinesHold = (record, type, indexes, lines, isOnDay) => {
        if (lines === null) return indexes.size === 0;
        if (typeof lines !== 'object') return false;
        const ids = Object.keys(lines);
        return ids.length === indexes.size
            && ids.every((id) => lines[id] !== null && typeof lines[id] === 'object'
                && lineHolds(record, type, indexes, id, lines[id], isOnDay));
    };

    const bodyHolds = (record, type, indexes, pre, isOnDay) =>
        Object.keys(pre).every((name) => (name === 'lines' && type.lines
            ? allLinesHold(record, type, indexes, pre.lines, isOnDay)
            : holds(recordview.body(record, type, name), pre[name], isOnDay)));

    const linesHold = (record, type, indexes, lines, isOnDay) => {
        if (!lines) return true;
        const changed = lines.upsert.filter((line) => line.line !== null && line.line !== undefined);
        return changed.concat(lines.remove).every((line) =>
            lineHolds(record, type, indexes, line.line, line.pre, isOnDay));
    };

    /**
     * `fenced`: a write as young as this one, or younger, is on the record. `stale`: the record is not what the write
     * was decided on. `pass`: it may land. `number` is the stamp now stored.
     *
     * The stamp is asked before the values: values can come back to what they were, stamps cannot.
     */
    const verdict = (record, type, item, isOnDay) => {
        const stored = recordview.body(record, type, type.stamp);
        const number = stampNumber(stored && stored.value, item.rid);
        if (number >= item.stamp) return { status: 'fenced', number };
        const indexes = recordview.lineIndexes(record, type);
        const passes = number === item.expect
            && bodyHolds(record, type, indexes, item.pre, isOnDay)
            && linesHold(record, type, indexes, item.lines, isOnDay);
        return { status: passes ? 'pass' : 'stale', number };
    };

    return { verdict, stampNumber };
});
