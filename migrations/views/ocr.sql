-- adapted features of the current run that fire more on questions about text in the image and
-- survive neutral prompts (A.5)
CREATE VIEW atlas.ocr AS
SELECT *
FROM atlas.feature
WHERE survives_ocr;

COMMENT ON VIEW atlas.ocr IS 'OCR features of the current run (A.5)';
