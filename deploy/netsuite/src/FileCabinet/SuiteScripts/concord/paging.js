/**
 * The bounds of a query, and the pages that hold its rows.
 *
 * @NApiVersion 2.1
 * @NModuleScope SameAccount
 */
define(['./values'], (values) => {
    const DEFAULT_ROWS = 1000;
    const MOST_ROWS = 5000;
    /** SuiteQL ends here, and without a word about what it left out. */
    const LAST_ROW = 100000;
    const MOST_CHARS = 100000;
    const MOST_PARAMS = 1000;
    /** NetSuite's own bounds of a page. */
    const LEAST_PAGE = 5;
    const MOST_PAGE = 1000;

    const wrong = (what) => values.refusal('SSS_INVALID_TYPE_ARG', what);
    const whole = (value, least, most) => Number.isSafeInteger(value) && value >= least && value <= most;
    const scalar = (value) => ['string', 'number', 'boolean'].includes(typeof value);

    /** `{query, params, limit, offset}` with the defaults filled in; throws what is wrong with it. */
    const request = (body) => {
        const asked = body !== null && typeof body === 'object' ? body : {};
        if (typeof asked.query !== 'string' || asked.query.trim() === '') {
            throw values.refusal('SSS_MISSING_REQD_ARGUMENT', 'query is required: a SuiteQL statement');
        }
        if (asked.query.length > MOST_CHARS) throw wrong(`query has at most ${MOST_CHARS} characters`);
        const params = asked.params === undefined || asked.params === null ? [] : asked.params;
        if (!Array.isArray(params) || params.length > MOST_PARAMS || !params.every(scalar)) {
            throw wrong(`params is a list of at most ${MOST_PARAMS} texts, numbers and booleans`);
        }
        const limit = asked.limit === undefined || asked.limit === null ? DEFAULT_ROWS : asked.limit;
        if (!whole(limit, 1, MOST_ROWS)) throw wrong(`limit is from 1 to ${MOST_ROWS}`);
        const offset = asked.offset === undefined || asked.offset === null ? 0 : asked.offset;
        if (!whole(offset, 0, LAST_ROW - 1)) throw wrong(`offset is from 0 to ${LAST_ROW - 1}`);
        if (offset + limit > LAST_ROW) throw wrong(`a query shows at most ${LAST_ROW} rows: go on by key, not by offset`);
        return { query: asked.query, params, limit, offset };
    };

    /** The size of a page. The pages start at row 0, so a page need not begin where the caller does. */
    const pageSize = ({ limit }) => Math.min(MOST_PAGE, Math.max(LEAST_PAGE, limit));

    /** The rows asked for, of `pages` pages each of which `fetch(index)` gives. */
    const rows = (asked, pages, fetch) => {
        const size = pageSize(asked);
        const first = Math.floor(asked.offset / size);
        const last = Math.min(pages - 1, Math.floor((asked.offset + asked.limit - 1) / size));
        let found = [];
        for (let index = first; index <= last; index += 1) {
            found = found.concat(fetch(index));
        }
        const skip = asked.offset - first * size;
        return found.slice(skip, skip + asked.limit);
    };

    return { request, pageSize, rows };
});
