-- Lists of number plans, page by page: without it each page of 100,000 entries sorts them all.
CREATE INDEX number_plan_listed ON number_plan (tenant_id, number, id);
