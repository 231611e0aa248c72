/**
 * Reading and setting fields of a script's record under Concord's names. Takes the record as it comes: this module
 * knows what a record can do, and needs no NetSuite module for it.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./fields', './values'], (fields, values) => {
    /** The matrix is named after the currency where the account has several. */
    const PRICES = ['price1', 'price'];
    const FIRST_CELL = { fieldId: 'price', column: 0, line: 0 };

    const NEW_LINE_KINDS = { item: 'reference', quantity: 'number', rate: 'number' };

    const priceList = (record) => PRICES.find((sublistId) => record.getLineCount({ sublistId }) > 0) || null;

    const fieldType = (get) => {
        try {
            const field = get();
            return field ? field.type : null;
        } catch (_) {
            // A field that is not on the record has no type; its value tells the rest.
            return null;
        }
    };

    /** A body field's value and kind; null for a name the record does not have. */
    const body = (record, type, name) => {
        if (name === type.price) {
            const sublistId = priceList(record);
            if (!sublistId) return null;
            return { value: record.getMatrixSublistValue({ sublistId, ...FIRST_CELL }), kind: 'number' };
        }
        const fieldId = fields.idOf(type, name);
        const known = fieldType(() => record.getField({ fieldId }));
        const value = record.getValue({ fieldId });
        if (!known && value === undefined) return null;
        return { value, kind: values.kindOf(known, value) };
    };

    const unknown = (name) => values.refusal('NONEXISTENT_FIELD', `Field '${name}' does not exist on this record.`);

    /** Sets a body field from the wire's value. */
    const setBody = (record, type, name, wire) => {
        const found = body(record, type, name);
        if (!found) throw unknown(name);
        const value = values.toScript(wire, found.kind, name);
        if (name === type.price) {
            record.setMatrixSublistValue({ sublistId: priceList(record), ...FIRST_CELL, value });
        } else {
            record.setValue({ fieldId: fields.idOf(type, name), value });
        }
    };

    /** A line field's value and kind; null for a name the sublist does not have. */
    const line = (record, type, index, name) => {
        const place = { sublistId: type.lines.sublist, fieldId: name, line: index };
        const known = fieldType(() => record.getSublistField(place));
        const value = record.getSublistValue(place);
        if (!known && value === undefined) return null;
        return { value, kind: values.kindOf(known, value) };
    };

    /** What a line just added cannot tell by its values; a custom column is taken for text. */
    const newLineKind = (name) => NEW_LINE_KINDS[name] || (name.startsWith('custcol') ? 'text' : null);

    /** Sets a line field from the wire's value. An index one past the last adds a line. */
    const setLine = (record, type, index, name, wire) => {
        const place = { sublistId: type.lines.sublist, fieldId: name, line: index };
        const isNew = index >= record.getLineCount({ sublistId: type.lines.sublist });
        const found = isNew ? null : line(record, type, index, name);
        const kind = found && !values.isEmpty(found.value) ? found.kind : newLineKind(name) || (found && found.kind);
        if (!kind) throw unknown(name);
        record.setSublistValue({ ...place, value: values.toScript(wire, kind, name) });
    };

    /** Line id → index, in the order of the lines. Lines not saved yet have no id and are left out. */
    const lineIndexes = (record, type) => {
        const indexes = new Map();
        if (!type.lines) return indexes;
        const sublistId = type.lines.sublist;
        const count = Math.max(0, record.getLineCount({ sublistId }));
        for (let index = 0; index < count; index += 1) {
            const id = record.getSublistValue({ sublistId, fieldId: type.lines.id, line: index });
            if (!values.isEmpty(id)) indexes.set(String(id), index);
        }
        return indexes;
    };

    return { body, setBody, line, setLine, lineIndexes };
});
