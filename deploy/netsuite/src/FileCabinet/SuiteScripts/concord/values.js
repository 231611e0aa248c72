/**
 * One field's value: as scripts hold it, as JSON says it, and when the two are the same.
 *
 * Scripts hold dates as Date, checkboxes as boolean, multi-selects as lists, the rest as number or text. JSON has
 * dates as text, decimals as text and references as id text.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define([], () => {
    const KINDS = {
        checkbox: 'bool',
        date: 'date',
        datetime: 'moment', datetimetz: 'moment',
        currency: 'number', currency2: 'number', float: 'number', integer: 'number', percent: 'number',
        poscurrency: 'number', posfloat: 'number', posinteger: 'number', rate: 'number',
        select: 'reference',
        multiselect: 'set',
    };

    /** A number keeps all its digits in a script's arithmetic up to here. */
    const MOST_DIGITS = 15;
    const NUMBER = /^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$/;
    const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;
    const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

    /** A business refusal in the form NetSuite's own errors have. */
    const refusal = (name, message) => Object.assign(new Error(message), { name });

    const invalid = (field) =>
        refusal('USER_ERROR', `You have entered an Invalid Field Value for the following field: ${field}`);

    const isDate = (value) => Object.prototype.toString.call(value) === '[object Date]';
    const isEmpty = (value) =>
        value === null || value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
    const two = (number) => String(number).padStart(2, '0');

    /** The kind of a field by its NetSuite type; where the type cannot be had, by the value that is there. */
    const kindOf = (fieldType, value) => {
        if (fieldType) {
            return KINDS[String(fieldType).toLowerCase()] || 'text';
        }
        if (isDate(value)) return 'moment';
        if (typeof value === 'boolean') return 'bool';
        if (typeof value === 'number') return 'number';
        return Array.isArray(value) ? 'set' : 'text';
    };

    /** A date field's day. Scripts get it as midnight of their own clock, so that clock's calendar names the day. */
    const dayOf = (date) =>
        `${String(date.getFullYear()).padStart(4, '0')}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

    /** Whole seconds in UTC, as every interface of ours prints an instant. */
    const instantOf = (date) => `${date.toISOString().slice(0, 19)}Z`;

    /** Midnight of the script's clock on that day; null for a day that no calendar has. */
    const midnight = (text) => {
        const parts = DAY.exec(text);
        if (!parts) return null;
        const date = new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]));
        return dayOf(date) === text ? date : null;
    };

    const flag = (value) => {
        if (isEmpty(value)) return false;
        if (typeof value === 'boolean') return value;
        const word = String(value).toUpperCase();
        if (word === 'T' || word === 'TRUE') return true;
        return word === 'F' || word === 'FALSE' ? false : null;
    };

    const number = (value) => {
        const text = String(value).trim();
        const found = typeof value === 'number' || NUMBER.test(text) ? Number(text) : NaN;
        return Number.isFinite(found) ? found : null;
    };

    const idText = (value) => {
        if (value !== null && typeof value === 'object' && !Array.isArray(value)) return String(value.id);
        return String(value).trim();
    };

    const ids = (value) => {
        if (isEmpty(value)) return [];
        // Where a script gets a multi-select as one text, U+0005 stands between the ids.
        const list = Array.isArray(value) ? value : String(value).split(/[\u0005,]/);
        return Array.from(new Set(list.map(idText).filter((id) => id !== ''))).sort();
    };

    /** Text as a reader sees it. Nobody can see line ends, composition or outer blanks, so no guard may insist on them. */
    const plain = (value) => String(value).replace(/\r\n?/g, '\n').normalize('NFC').trim();

    /** A script's value in natural JSON, as envelopes carry it. */
    const natural = (value, kind) => {
        if (kind === 'bool') return flag(value) === true;
        if (kind === 'set') return ids(value);
        if (isEmpty(value)) return null;
        if (isDate(value)) return kind === 'date' ? dayOf(value) : instantOf(value);
        if (kind === 'number') return number(value);
        return String(value);
    };

    const sameDate = (stored, kind, wire, isOnDay) => {
        const text = String(wire);
        if (!isDate(stored)) return plain(stored) === plain(text);
        if (kind === 'date') return dayOf(stored) === text.slice(0, 10) && (DAY.test(text) || INSTANT.test(text));
        if (DAY.test(text)) return isOnDay(stored, text);
        return INSTANT.test(text) && instantOf(stored) === instantOf(new Date(text));
    };

    /**
     * Whether a guard's value names what is stored. `isOnDay(date, 'YYYY-MM-DD')` knows the account's calendar: the
     * caller sees some instants as days.
     */
    const matches = (stored, kind, wire, isOnDay) => {
        if (kind === 'bool') return flag(wire) !== null && flag(stored) === flag(wire);
        if (kind === 'set') return JSON.stringify(ids(stored)) === JSON.stringify(ids(wire));
        // An unticked box that the record does not hold at all.
        if (isEmpty(stored) || isEmpty(wire)) return isEmpty(stored) && (isEmpty(wire) || wire === false);
        switch (kind) {
            case 'number': return number(wire) !== null && number(wire) === number(stored);
            case 'date':
            case 'moment': return sameDate(stored, kind, wire, isOnDay);
            case 'reference': return idText(stored) === idText(wire);
            default: return typeof wire !== 'object' && plain(stored) === plain(wire);
        }
    };

    const exactNumber = (wire, field) => {
        const found = number(wire);
        const digits = String(wire).replace(/[eE].*$/, '').replace(/\D/g, '').replace(/^0+/, '');
        if (found === null || digits.length > MOST_DIGITS) throw invalid(field);
        return found;
    };

    const dateFor = (wire, kind, field) => {
        const text = String(wire);
        const date = DAY.test(text) ? midnight(text) : INSTANT.test(text) && kind === 'moment' && new Date(text);
        if (!date || Number.isNaN(date.getTime())) throw invalid(field);
        return date;
    };

    /** The wire's value as `setValue` takes it. Throws a refusal that names the field and never the value. */
    const toScript = (wire, kind, field) => {
        if (kind === 'bool') {
            if (flag(wire) === null) throw invalid(field);
            return flag(wire);
        }
        if (kind === 'set') {
            if (!isEmpty(wire) && !Array.isArray(wire)) throw invalid(field);
            return ids(wire);
        }
        if (isEmpty(wire)) return '';
        switch (kind) {
            case 'number': return exactNumber(wire, field);
            case 'date':
            case 'moment': return dateFor(wire, kind, field);
            case 'reference': return idText(wire);
            default:
                if (typeof wire !== 'string' && typeof wire !== 'number') throw invalid(field);
                return String(wire);
        }
    };

    return { kindOf, natural, matches, toScript, refusal, dayOf, instantOf, midnight, isEmpty };
});
