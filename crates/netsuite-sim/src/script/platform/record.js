// N/record: records as scripts hold them. Values are kept in natural JSON until somebody asks for them.
(platform) => {
    'use strict';

    const { op, failure, named, required, guarded, modules } = platform;
    const shapes = new Map();

    /** What a record type is: its fields, its sublists, and where its prices stand. */
    const shapeOf = (type) => {
        const key = String(type).toLowerCase();
        if (!shapes.has(key)) shapes.set(key, op('record.shape', { type: key }));
        return shapes.get(key);
    };

    const isDate = (value) => Object.prototype.toString.call(value) === '[object Date]';
    const isNothing = (value) => value === null || value === undefined || value === '';
    const two = (number) => String(number).padStart(2, '0');

    /** A stored value as a script gets it: a day is midnight of the script's own clock. */
    const given = (type, value) => {
        if (type === 'checkbox') return value === true;
        if (type === 'multiselect') return Array.isArray(value) ? value.slice() : [];
        if (isNothing(value)) return '';
        if (type === 'datetimetz') return new Date(value);
        if (type !== 'date') return value;
        const [year, month, day] = value.split('-').map(Number);
        return new Date(year, month - 1, day);
    };

    const wrongType = (fieldId) =>
        failure('INVALID_FLD_VALUE', `You have entered an Invalid Field Value for the following field: ${fieldId}`);

    /** A script's value as it is stored. */
    const taken = (type, value, fieldId) => {
        if (isNothing(value)) return null;
        const fits = { date: isDate(value), datetimetz: isDate(value), checkbox: typeof value === 'boolean' };
        if (fits[type] === false || (isDate(value) && fits[type] !== true)) throw wrongType(fieldId);
        if (type === 'date') return `${value.getFullYear()}-${two(value.getMonth() + 1)}-${two(value.getDate())}`;
        if (type === 'datetimetz') return value.toISOString();
        if (type === 'multiselect') return Array.isArray(value) ? value.map(String) : [String(value)];
        return value;
    };

    class Record {
        #shape;
        #fields;
        #lines;
        #held;
        #handle;
        #set = {};
        #removed = [];

        /** `state`: fields, lines, and for a record of the store its handle; `partial` ones hold only some fields. */
        constructor(type, id, { fields = {}, lines = [], handle = null, partial = false } = {}) {
            this.type = type;
            this.id = id;
            this.isDynamic = false;
            this.#shape = shapeOf(type);
            this.#fields = fields;
            this.#lines = lines.map((line) => ({ ...line, set: {} }));
            this.#held = partial ? Object.keys(fields) : null;
            this.#handle = handle;
        }

        #known(fieldId) {
            return Object.prototype.hasOwnProperty.call(this.#shape.fields, fieldId) ? this.#shape.fields[fieldId] : null;
        }

        getField(...args) {
            const { fieldId } = required(named(['fieldId'], args), ['fieldId']);
            const field = this.#known(fieldId);
            return field && { id: fieldId, label: field.label, type: field.type, isMandatory: field.required };
        }

        getFields() {
            return this.#held ? this.#held.slice() : Object.keys(this.#shape.fields);
        }

        getValue(...args) {
            const { fieldId } = required(named(['fieldId'], args), ['fieldId']);
            const field = this.#known(fieldId);
            return field ? given(field.type, this.#fields[fieldId]) : undefined;
        }

        setValue(...args) {
            const { fieldId, value } = required(named(['fieldId', 'value'], args), ['fieldId']);
            const field = this.#known(fieldId);
            if (!field) throw failure('SSS_INVALID_FIELD_ID', `The field ${fieldId} does not exist on this record.`);
            const stored = taken(field.type, value, fieldId);
            // NetSuite lets scripts set what it keeps by itself, and takes no notice of it.
            if (!field.readOnly) {
                this.#fields[fieldId] = stored;
                this.#set[fieldId] = stored;
            }
            return this;
        }

        #column(sublistId, fieldId) {
            const sublist = sublistId === this.#shape.sublist.id ? this.#shape.sublist.fields : {};
            return Object.prototype.hasOwnProperty.call(sublist, fieldId) ? sublist[fieldId] : null;
        }

        #line(line) {
            if (!(line >= 0 && line < this.#lines.length)) {
                throw failure('SSS_INVALID_SUBLIST_OPERATION', `There is no line ${line}.`);
            }
            return this.#lines[line];
        }

        getLineCount(...args) {
            const { sublistId } = required(named(['sublistId'], args), ['sublistId']);
            if (sublistId === this.#shape.matrix) return 1;
            return sublistId === this.#shape.sublist.id ? this.#lines.length : -1;
        }

        getSublistField(...args) {
            const { sublistId, fieldId, line } = named(['sublistId', 'fieldId', 'line'], args);
            const column = this.#column(sublistId, fieldId);
            this.#line(line);
            return column && { id: fieldId, label: column.label, type: column.type };
        }

        getSublistFields(...args) {
            const { sublistId } = required(named(['sublistId'], args), ['sublistId']);
            return sublistId === this.#shape.sublist.id ? Object.keys(this.#shape.sublist.fields) : null;
        }

        getSublistValue(...args) {
            const { sublistId, fieldId, line } = named(['sublistId', 'fieldId', 'line'], args);
            const column = this.#column(sublistId, fieldId);
            return column ? given(column.type, this.#line(line)[fieldId]) : undefined;
        }

        setSublistValue(...args) {
            const { sublistId, fieldId, line, value } = named(['sublistId', 'fieldId', 'line', 'value'], args);
            const column = this.#column(sublistId, fieldId);
            if (!column) {
                throw failure('SSS_INVALID_SUBLIST_OPERATION', `The sublist ${sublistId} has no field ${fieldId}.`);
            }
            if (line === this.#lines.length) this.#lines.push({ line: null, set: {} });
            const stored = taken(column.type, value, fieldId);
            Object.assign(this.#line(line), { [fieldId]: stored });
            this.#line(line).set[fieldId] = stored;
            return this;
        }

        removeLine(...args) {
            const { sublistId, line } = named(['sublistId', 'line'], args);
            if (sublistId !== this.#shape.sublist.id) {
                throw failure('SSS_INVALID_SUBLIST_OPERATION', `There is no sublist ${sublistId}.`);
            }
            const { line: id } = this.#line(line);
            if (id !== null) this.#removed.push(id);
            this.#lines.splice(line, 1);
            return this;
        }

        findSublistLineWithValue(...args) {
            const { sublistId, fieldId, value } = named(['sublistId', 'fieldId', 'value'], args);
            return this.#lines.findIndex((_, line) =>
                String(this.getSublistValue({ sublistId, fieldId, line })) === String(value));
        }

        #cell({ sublistId, fieldId, column, line }) {
            if (sublistId !== this.#shape.matrix || fieldId !== 'price' || column !== 0 || line !== 0) {
                throw failure('NOT_SIMULATED', 'of price matrices there is only the first cell in this simulator');
            }
            return this.#shape.price;
        }

        getMatrixSublistValue(options) {
            return given('currency', this.#fields[this.#cell(options)]);
        }

        setMatrixSublistValue(options) {
            const fieldId = this.#cell(options);
            this.#fields[fieldId] = taken('currency', options.value, 'price');
            this.#set[fieldId] = this.#fields[fieldId];
            return this;
        }

        /** What was set on it. */
        changes() {
            return {
                type: this.type, id: this.id, handle: this.#handle, set: this.#set, removed: this.#removed,
                lines: this.#lines.map(({ line, set }) => ({ line, set })),
            };
        }

        save() {
            this.id = op('record.save', this.changes());
            return this.id;
        }
    }

    const Type = Object.freeze({
        CUSTOMER: 'customer', LEAD: 'lead', PROSPECT: 'prospect', SALES_ORDER: 'salesorder',
        INVENTORY_ITEM: 'inventoryitem', NON_INVENTORY_ITEM: 'noninventoryitem', SERVICE_ITEM: 'serviceitem',
        ASSEMBLY_ITEM: 'assemblyitem', KIT_ITEM: 'kititem', OTHER_CHARGE_ITEM: 'otherchargeitem',
    });

    modules.set('N/record', guarded('N/record', {
        Type,
        create: (options) => {
            const { type } = required(options, ['type']);
            shapeOf(type);
            return new Record(type, null, op('record.create', { type }));
        },
        load: (options) => {
            const { type, id } = required(options, ['type', 'id']);
            const loaded = op('record.load', { type, id: String(id) });
            return new Record(type, loaded.id, loaded);
        },
        delete: (options) => {
            const { type, id } = required(options, ['type', 'id']);
            return op('record.delete', { type, id: String(id) });
        },
        submitFields: (options) => {
            const { type, id, values } = required(options, ['type', 'id', 'values']);
            const { fields } = shapeOf(type);
            const stored = Object.entries(values).map(([fieldId, value]) => {
                if (!fields[fieldId]) throw failure('SSS_INVALID_FIELD_ID', `The field ${fieldId} does not exist.`);
                const { type: kind } = fields[fieldId];
                const flag = { T: true, F: false, true: true, false: false }[String(value)];
                return [fieldId, taken(kind, kind === 'checkbox' && flag !== undefined ? flag : value, fieldId)];
            });
            return op('record.submitFields', { type, id: String(id), values: Object.fromEntries(stored) });
        },
    }));

    Object.assign(platform, { Record });
}
