// How the entry points of each kind of script are called, and what is made of their answers.
(platform) => {
    'use strict';

    const { calls, Record, failure, guarded } = platform;
    const same = (value) => (value === undefined ? null : value);

    calls.restlet = (body) => ({
        argument: body,
        answer: (value) => {
            if (value === undefined || value === null) return '';
            return typeof value === 'string' ? value : JSON.stringify(value);
        },
    });

    calls.plain = (options) => ({ argument: options, answer: () => null });

    const UserEventType = guarded('UserEventType', {
        CREATE: 'create', EDIT: 'edit', XEDIT: 'xedit', DELETE: 'delete', VIEW: 'view', COPY: 'copy',
        APPROVE: 'approve', CANCEL: 'cancel', REJECT: 'reject',
    });

    calls.event = ({ type, newRecord, oldRecord }) => {
        const record = (held) => held && new Record(held.type, held.id, held);
        const changed = record(newRecord);
        const argument = { type, newRecord: changed, oldRecord: record(oldRecord) || undefined, UserEventType };
        // Only what beforeSubmit sets has a meaning: afterwards the record is saved.
        const answer = () => {
            const { set, lines, removed } = changed.changes();
            if (removed.length > 0 || lines.some((line) => Object.keys(line.set).length > 0)) {
                throw failure('NOT_SIMULATED', 'a user event cannot change lines in this simulator');
            }
            return set;
        };
        return { argument, answer };
    };

    calls.input = () => ({
        argument: { isRestarted: false },
        answer: (value) => {
            if (value === null || typeof value !== 'object') {
                throw failure('INVALID_INPUT_DATA', 'getInputData returns a list or an object in this simulator');
            }
            const text = (entry) => (typeof entry === 'string' ? entry : JSON.stringify(same(entry)));
            return Object.keys(value).map((key) => ({ key, value: text(value[key]) }));
        },
    });

    const writer = () => {
        const written = [];
        const text = (value) => (typeof value === 'string' ? value : JSON.stringify(same(value)));
        const write = (...args) => {
            const [first] = args;
            const pair = args.length === 1 && first !== null && typeof first === 'object'
                ? first : { key: args[0], value: args[1] };
            written.push({ key: text(pair.key), value: text(pair.value) });
        };
        return { written, write };
    };

    calls.map = ({ key, value }) => {
        const { written, write } = writer();
        const argument = { key, value, write, isRestarted: false, executionNo: 1, errors: iterable([]) };
        return { argument, answer: () => written };
    };

    calls.reduce = ({ key, values }) => {
        const { written, write } = writer();
        const argument = { key, values, write, isRestarted: false, executionNo: 1, errors: iterable([]) };
        return { argument, answer: () => written };
    };

    const iterable = (pairs) => ({
        iterator: () => ({
            each: (visit) => {
                for (const { key, value } of pairs) {
                    if (visit(key, value) !== true) break;
                }
            },
        }),
    });

    calls.summarize = ({ input, map, reduce, output, usage, seconds }) => ({
        argument: {
            isRestarted: false, dateCreated: new Date(), seconds, usage, concurrency: 1, yields: 0,
            inputSummary: { error: input, seconds, usage }, mapSummary: { errors: iterable(map) },
            reduceSummary: { errors: iterable(reduce) }, output: iterable(output),
        },
        answer: () => null,
    });
}
