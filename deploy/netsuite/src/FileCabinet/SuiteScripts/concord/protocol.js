/**
 * The words of the write protocol, version 1: reading a request, forming results.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./values'], (values) => {
    const MOST_WRITES = 10;
    const MOST_LINES = 1000;
    const KINDS = ['create', 'update', 'delete'];
    /** Longest sentence that goes back. */
    const MOST_MESSAGE = 300;

    const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
    const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

    const wrong = (what) => values.refusal('SSS_INVALID_TYPE_ARG', what);

    const optionalText = (json, name) => {
        const value = json[name];
        if (value === undefined || value === null) return null;
        if (typeof value !== 'string') throw wrong(`${name} is text`);
        return value;
    };

    const requiredText = (json, name) => {
        const value = optionalText(json, name);
        if (!value) throw wrong(`${name} is required: text`);
        return value;
    };

    const members = (json, name) => {
        const value = json[name] === undefined || json[name] === null ? {} : json[name];
        if (!isObject(value)) throw wrong(`${name} is an object`);
        return value;
    };

    const list = (json, name) => {
        const value = json[name] === undefined || json[name] === null ? [] : json[name];
        if (!Array.isArray(value) || !value.every(isObject)) throw wrong(`lines.${name} is a list of lines`);
        return value;
    };

    const linesOf = (json) => {
        if (json.lines === undefined || json.lines === null) return null;
        if (!isObject(json.lines)) throw wrong('lines is an object');
        const upsert = list(json.lines, 'upsert').map((line) => ({
            key: requiredText(line, 'key'), line: optionalText(line, 'line'),
            changes: members(line, 'changes'), pre: members(line, 'pre'),
        }));
        const remove = list(json.lines, 'remove').map((line) => ({
            line: requiredText(line, 'line'), pre: members(line, 'pre'),
        }));
        if (upsert.length + remove.length > MOST_LINES) throw wrong(`at most ${MOST_LINES} lines per write`);
        return { upsert, remove };
    };

    /** One write of a request; throws a refusal that names the member. */
    const item = (json) => {
        if (!isObject(json)) throw wrong('a write is an object');
        if (!KINDS.includes(json.kind)) throw wrong('kind is create, update or delete');
        ['stamp', 'expect'].forEach((name) => {
            if (!isCount(json[name])) throw wrong(`${name} is a whole number`);
        });
        return {
            writeId: requiredText(json, 'writeId'), kind: json.kind, typeName: requiredText(json, 'type'),
            id: optionalText(json, 'id'), rid: requiredText(json, 'rid'), stamp: json.stamp, expect: json.expect,
            externalId: optionalText(json, 'externalId'),
            changes: members(json, 'changes'), pre: members(json, 'pre'), lines: linesOf(json),
        };
    };

    /** The writes of a request; throws where there are none or too many. */
    const writesOf = (body) => {
        const writes = isObject(body) ? body.writes : null;
        if (!Array.isArray(writes)) {
            throw values.refusal('SSS_MISSING_REQD_ARGUMENT', 'writes is required: a list of writes');
        }
        if (writes.length > MOST_WRITES) throw wrong(`at most ${MOST_WRITES} writes per call`);
        return writes;
    };

    const writeIdOf = (json) => (isObject(json) && typeof json.writeId === 'string' ? json.writeId : '');

    /** One result. Members without a value are left out. */
    const result = (writeId, status, { id, stamp, lastModified, lines, code, message } = {}) => {
        const said = { writeId, status, stamp: stamp || 0 };
        if (id) said.id = String(id);
        if (lastModified) said.lastModified = lastModified;
        if (lines && Object.keys(lines).length > 0) said.lines = lines;
        if (code) said.code = String(code);
        if (message) said.message = String(message).slice(0, MOST_MESSAGE);
        return said;
    };

    return { item, writesOf, writeIdOf, result };
});
