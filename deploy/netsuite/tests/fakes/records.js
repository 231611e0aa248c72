/** An in-memory record store that behaves as N/record does where the scripts depend on it. */

const UNITS = { transaction: [10, 20], standard: [5, 10], custom: [2, 4] };

const TYPES = {
    customer: {
        units: UNITS.standard, required: { companyname: 'Company Name' },
        fields: {
            entityid: 'text', companyname: 'text', email: 'email', phone: 'phone', creditlimit: 'currency',
            comments: 'textarea', terms: 'select', currency: 'select', isinactive: 'checkbox', externalid: 'text',
            custentity_tags: 'multiselect', custentity_loyalty_points: 'integer', custentity_since: 'date',
            custentity_concord_stamp: 'text', datecreated: 'datetime', lastmodifieddate: 'datetime',
        },
    },
    inventoryitem: {
        units: UNITS.standard, required: { itemid: 'Item Name/Number' }, matrix: 'price1',
        fields: {
            itemid: 'text', displayname: 'text', salesdescription: 'textarea', isinactive: 'checkbox',
            externalid: 'text', custitem_concord_stamp: 'text', createddate: 'datetime', lastmodifieddate: 'datetime',
        },
    },
    salesorder: {
        units: UNITS.transaction, required: { entity: 'Customer' }, sublist: 'item',
        fields: {
            entity: 'select', tranid: 'text', trandate: 'date', memo: 'text', orderstatus: 'select', otherrefnum: 'text',
            externalid: 'text', custbody_concord_stamp: 'text', createddate: 'datetime', lastmodifieddate: 'datetime',
        },
        lines: { item: 'select', quantity: 'float', rate: 'currency', line: 'integer' },
    },
    customrecord_concord_outbox: {
        units: UNITS.custom, required: {},
        fields: {
            custrecord_concord_ob_event: 'text', custrecord_concord_ob_type: 'text',
            custrecord_concord_ob_record: 'text', custrecord_concord_ob_operation: 'text',
            custrecord_concord_ob_body: 'clobtext', custrecord_concord_ob_attempts: 'integer',
            custrecord_concord_ob_code: 'text', custrecord_concord_ob_refused: 'checkbox',
        },
    },
};

const failure = (name, message) => Object.assign(new Error(message || name), { name });
// By its tag: a script in a context of its own has another Date.
const isDate = (value) => Object.prototype.toString.call(value) === '[object Date]';
const copy = (value) => {
    if (Array.isArray(value)) return value.map(copy);
    if (isDate(value)) return new Date(value.getTime());
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, copy(v)]));
    return value;
};
const emptyOf = (kind) => ({ checkbox: false, multiselect: [] })[kind] ?? '';

/** What a script holds of a record: the stored state as it was when loaded, and what has been set since. */
class FakeRecord {
    constructor(account, type, id, state, version) {
        Object.assign(this, { account, type, id, state, version, definition: TYPES[type] });
    }

    getField({ fieldId }) {
        const type = this.definition.fields[fieldId];
        return type && !this.account.offForm.has(fieldId) ? { id: fieldId, type } : null;
    }

    getFields() {
        return Object.keys(this.partial ? this.state.values : this.definition.fields);
    }

    getValue({ fieldId }) {
        if (!(fieldId in this.definition.fields)) return undefined;
        return copy(this.state.values[fieldId] ?? emptyOf(this.definition.fields[fieldId]));
    }

    setValue({ fieldId, value }) {
        const type = this.definition.fields[fieldId];
        if (!type) throw failure('SSS_INVALID_FIELD_ID');
        if (type === 'date' && value !== '' && !isDate(value)) throw failure('INVALID_FLD_VALUE');
        if (type === 'checkbox' && typeof value !== 'boolean') throw failure('INVALID_FLD_VALUE');
        this.state.values[fieldId] = copy(value);
        return this;
    }

    getLineCount({ sublistId }) {
        if (sublistId === this.definition.matrix) return 1;
        return sublistId === this.definition.sublist ? this.state.lines.length : -1;
    }

    getSublistField({ fieldId, line }) {
        if (line >= this.state.lines.length) throw failure('SSS_INVALID_SUBLIST_OPERATION');
        const type = this.definition.lines[fieldId];
        return type ? { id: fieldId, type } : null;
    }

    getSublistValue({ fieldId, line }) {
        if (!(fieldId in this.definition.lines)) return undefined;
        return copy(this.state.lines[line][fieldId] ?? '');
    }

    setSublistValue({ fieldId, line, value }) {
        if (!(fieldId in this.definition.lines) || line > this.state.lines.length) {
            throw failure('SSS_INVALID_SUBLIST_OPERATION');
        }
        if (line === this.state.lines.length) this.state.lines.push({});
        this.state.lines[line][fieldId] = value;
        return this;
    }

    removeLine({ line }) {
        this.state.lines.splice(line, 1);
        return this;
    }

    getMatrixSublistValue() {
        return this.state.price ?? '';
    }

    setMatrixSublistValue({ value }) {
        this.state.price = value;
        return this;
    }

    save() {
        this.account.spend(this.definition.units[1]);
        return this.account.put(this);
    }
}

/** The store of one account. Tests reach into it as other users and scripts would. */
class RecordStore {
    constructor() {
        this.stored = new Map();
        this.nextId = 1000;
        this.clock = Date.parse('2026-11-14T10:00:00Z');
        this.offForm = new Set();
        this.calls = [];
        /** Called as (operation, type, id) before each of N/record's operations: where tests interfere. */
        this.interfere = () => {};
        /** Called with the record after each save, as a workflow would be. */
        this.workflow = () => {};
    }

    key(type, id) {
        return `${type}|${id}`;
    }

    peek(type, id) {
        return this.stored.get(this.key(type, id))?.state;
    }

    all(type) {
        return Array.from(this.stored.values()).filter((entry) => entry.type === type);
    }

    /** A record put there by somebody else. */
    seed(type, values = {}, lines = [], price = undefined) {
        const id = this.nextId;
        this.nextId += 1;
        const state = { values: { datecreated: new Date(this.clock), ...values }, lines: [], price, nextLine: 1 };
        lines.forEach((line) => { state.lines.push({ ...line, line: state.nextLine }); state.nextLine += 1; });
        this.stored.set(this.key(type, id), { type, id, version: 1, state: this.stamped(state) });
        return id;
    }

    /** Another user's save. */
    edit(type, id, change) {
        const entry = this.stored.get(this.key(type, id));
        change(entry.state.values, entry.state);
        entry.version += 1;
        this.stamped(entry.state);
    }

    stamped(state) {
        this.clock += 1000;
        state.values.lastmodifieddate = new Date(this.clock);
        return state;
    }

    begin(operation, type, id, units) {
        this.calls.push({ operation, type, id });
        this.interfere(operation, type, id);
        this.spend(units);
        if (!TYPES[type]) throw failure('SSS_INVALID_TYPE_ARG');
    }

    found(type, id) {
        const entry = this.stored.get(this.key(type, id));
        if (!entry) throw failure('RCRD_DSNT_EXIST', 'That record does not exist.');
        return entry;
    }

    put(record) {
        const { type, state, definition } = record;
        this.calls.push({ operation: 'save', type, id: record.id });
        this.interfere('save', type, record.id);
        if (record.id) {
            if (this.found(type, record.id).version !== record.version) {
                throw failure('RCRD_HAS_BEEN_CHANGED', 'Record has been changed');
            }
        }
        this.check(type, state, record.id, definition);
        const id = record.id || this.nextId;
        if (!record.id) this.nextId += 1;
        state.nextLine = state.nextLine || 1;
        state.lines.forEach((line) => {
            if (!line.line) { line.line = state.nextLine; state.nextLine += 1; }
        });
        const entry = { type, id: Number(id), version: (record.version || 0) + 1, state: copy(this.stamped(state)) };
        this.stored.set(this.key(type, id), entry);
        this.workflow(entry);
        return Number(id);
    }

    check(type, state, id, definition) {
        Object.entries(definition.required).forEach(([field, label]) => {
            if (!state.values[field]) throw failure('USER_ERROR', `Please enter value(s) for: ${label}`);
        });
        const { externalid } = state.values;
        const twin = externalid && this.all(type).find((entry) =>
            entry.state.values.externalid === externalid && String(entry.id) !== String(id));
        if (twin) throw failure('DUP_RCRD', 'This record already exists');
    }

    recordModule() {
        return {
            create: ({ type }) => {
                this.begin('create', type, null, TYPES[type]?.units[0] ?? 0);
                return new FakeRecord(this, type, null, { values: {}, lines: [] }, 0);
            },
            load: ({ type, id }) => {
                this.begin('load', type, id, TYPES[type]?.units[0] ?? 0);
                const entry = this.found(type, id);
                return new FakeRecord(this, type, entry.id, copy(entry.state), entry.version);
            },
            delete: ({ type, id }) => {
                this.begin('delete', type, id, TYPES[type]?.units[1] ?? 0);
                this.found(type, id);
                if (type === 'customer' && this.all('salesorder').some((o) => String(o.state.values.entity) === String(id))) {
                    throw failure('THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS',
                        'This record cannot be deleted because it has dependent records.');
                }
                this.stored.delete(this.key(type, id));
                return id;
            },
            submitFields: ({ type, id, values }) => {
                this.begin('submitFields', type, id, TYPES[type]?.units[0] ?? 0);
                Object.assign(this.found(type, id).state.values, copy(values));
                return id;
            },
        };
    }

    /** A record as a user event's context has it: all of it, or of an inline edit only what was edited. */
    contextRecord(type, id, values, { partial = false, lines = [], price = undefined } = {}) {
        const record = new FakeRecord(this, type, id, { values: { ...values }, lines, price }, 1);
        record.partial = partial;
        return record;
    }
}

module.exports = { RecordStore, failure };
