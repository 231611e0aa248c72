/**
 * Concord: runs one SuiteQL query. `{query, params?, limit, offset}` → `{rows: […]}`
 *
 * @NApiVersion 2.1
 * @NScriptType Restlet
 * @NModuleScope SameAccount
 */
define(['N/error', 'N/query', './paging'], (error, query, paging) => {
    // NetSuite shows the caller name and message of an error made here, and notifies nobody.
    const request = (body) => {
        try {
            return paging.request(body);
        } catch ({ name, message }) {
            throw error.create({ name, message, notifyOff: true });
        }
    };

    const post = (body) => {
        const asked = request(body);
        const paged = query.runSuiteQLPaged({
            query: asked.query, params: asked.params, pageSize: paging.pageSize(asked),
        });
        const fetch = (index) => paged.fetch({ index }).data.asMappedResults();
        return { rows: paging.rows(asked, paged.pageRanges.length, fetch) };
    };

    return { post };
});
