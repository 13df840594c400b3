"""The style sheet of a report page. One string, so that its hash is the page's content security policy."""

STYLE = """
:root{--paper:#f4f5f7;--card:#fff;--ink:#1d232c;--dim:#5b6370;--line:#d9dde4;--red:#c0261c;--soft:#fdecea;
--code:#eef0f4;--amber:#8a6a00;--amber-soft:#fff4d1;--violet-soft:#ece6fa;--link:#1f5fbf}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1060px;margin:0 auto;padding:24px 20px 48px}
header{padding:4px 2px 10px}
h1{font-size:26px;line-height:1.25;margin:2px 0 8px;overflow-wrap:anywhere}
h2{font-size:18px;margin:0 0 10px}
h3{font-size:14px;margin:14px 0 4px;color:var(--dim)}
p{margin:6px 0}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 20px;margin:14px 0;
overflow-wrap:anywhere}
.verdict{border-left:5px solid var(--red)}
.lead{font-size:18px;line-height:1.4}
.kind,p.dim,span.dim,footer{color:var(--dim);font-size:13px}
.kind{margin:0}
.now{background:var(--code);border-radius:8px;padding:8px 12px}
.tag{display:inline-block;background:var(--code);border-radius:20px;padding:1px 10px;margin:0 6px 0 0;font-size:12.5px}
p .tag{margin-left:6px}
.tags .tag{margin-left:0}
.tag.critical,.tag.high{background:var(--soft);color:var(--red);font-weight:600}
.tag.inferred{background:var(--amber-soft);color:var(--amber)}
.tag.needs-people{background:var(--violet-soft);color:#4b2f8f}
dl{display:grid;grid-template-columns:130px 1fr;gap:3px 12px;margin:10px 0}
dt{color:var(--dim)}
dd{margin:0}
ul,ol{margin:6px 0;padding-left:22px}
li{margin:3px 0}
.whys li{margin:8px 0}
.whys p{margin:0}
.ask{font-weight:600}
.steps li{margin:9px 0}
.note{border-left:3px solid var(--amber);background:var(--amber-soft);border-radius:0 8px 8px 0;padding:6px 12px;
margin:6px 0}
.note p{margin:0}
code,pre{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12.5px;background:var(--code);border-radius:5px}
code{padding:1px 5px}
pre{padding:9px 12px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;margin:6px 0;line-height:1.4}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--line)}
.times td:first-child{white-space:nowrap;font-variant-numeric:tabular-nums}
td code,td:nth-child(2),th{white-space:nowrap}
tr:target{background:var(--amber-soft)}
a{color:var(--link)}
.refs{font-size:12.5px}
.wide{overflow-x:auto}
svg{display:block;max-width:100%;height:auto}
svg.waterfall{width:100%;min-width:760px}
svg.graph{margin:0 auto;min-width:300px}
summary{cursor:pointer;color:var(--dim)}
@media (prefers-color-scheme:dark){
:root{--paper:#14171c;--card:#1c2027;--ink:#e7eaef;--dim:#a0a9b6;--line:#343a45;--red:#ff7a70;--soft:#46211f;
--code:#272d36;--amber:#f0cf6a;--amber-soft:#433a1a;--violet-soft:#352b52;--link:#8ab8ff}
.tag.needs-people{color:#c9b6ff}
svg .ink{fill:#e7eaef}
svg .dim{fill:#a0a9b6}
svg .over{fill:#ff9d95}
svg .grid{stroke:#343a45}
svg .box{fill:#232932}
svg .critical{fill:#e7eaef}
svg .ring{stroke:#ff7a70}
svg .edge.error{stroke:#ff7a70}
svg .tip{stroke:none}
svg .tip.error{fill:#ff7a70}
svg text[paint-order]{stroke:#1c2027}
}
@media print{
body{background:#fff}
main{max-width:none;padding:0}
section{border:0;border-top:1px solid #bbb;border-radius:0;padding:8px 0;margin:8px 0;break-inside:auto}
tr,li,svg,h2{break-inside:avoid}
h2,h3{break-after:avoid}
.verdict{border-left:5px solid var(--red);padding-left:12px}
svg.waterfall{min-width:0}
}
"""
