//! How to query the archive, printed at the end of a demonstration.

use std::path::Path;

use crate::say::shown;

/// How good each model was, on the requests that all models have scored.
pub const BY_MODEL: &str = "with s as (select distinct request_id, model, value \
     from '{archive}/scores/*/*/*.parquet' where value is not null), \
     by_all as (select request_id from s group by request_id having count(*) = \
     (select count(distinct model) from s)) \
     select model, count(*) compared, round(avg((s.value - o.value) ** 2), 4) brier \
     from s join by_all using (request_id) \
     join '{archive}/outcomes/*/*/*.parquet' o using (request_id) group by model order by brier";

/// The same by month, a column a model.
pub(crate) const BY_MONTH: &str = "pivot (select month(make_timestamp(s.received_us)) as month, \
     model, (s.value - o.value) ** 2 as square \
     from '{archive}/scores/*/*/*.parquet' s join '{archive}/outcomes/*/*/*.parquet' o \
     using (request_id)) on model using round(avg(square), 4) group by month order by month";

/// The query over the archive in this folder.
pub fn over(archive: &Path, query: &str) -> String {
    query.replace("{archive}", &shown(archive))
}

/// Where the tables lie, and a line to ask them `query`.
pub(crate) fn guide(archive: &Path, query: &str) -> String {
    let query = over(archive, query);
    let archive = shown(archive);
    format!(
        "The archive holds requests, scores, decisions and outcomes as Parquet, in {archive}\n\
         To ask it how good each model was (the mean squared error against what became of the \
         flights):\n\n  \
         pip install duckdb\n  \
         python3 -c \"import duckdb; duckdb.sql('''{query}''').show()\"\n"
    )
}
