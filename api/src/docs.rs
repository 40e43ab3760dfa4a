//! Pages that the API brings itself: its documentation, and what to do when the screens are not built.

/// Renders `/api/v1/openapi.json`; needs nothing from elsewhere.
pub const PAGE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Chengmai API</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#16202e}
h2{margin-top:2rem}code,pre{background:#f3f5f8;padding:.1em .3em;border-radius:3px}pre{padding:.6em;overflow:auto}
.m{display:inline-block;min-width:4em;font-weight:700;color:#2b7a9b}table{border-collapse:collapse}
td,th{border:1px solid #b9c4d2;padding:.2em .5em;text-align:left;vertical-align:top}</style>
<h1>Chengmai API</h1><p>The document: <a href="/api/v1/openapi.json">openapi.json</a></p><main id="m">…</main>
<script>fetch('/api/v1/openapi.json').then(r=>r.json()).then(d=>{const m=document.getElementById('m');m.textContent='';
const el=(t,x,p)=>{const e=document.createElement(t);if(x!==undefined)e.textContent=x;(p||m).append(e);return e};
el('h2','Calls');for(const[path,ops]of Object.entries(d.paths))for(const[method,o]of Object.entries(ops)){
const h=el('h3');const s=el('span',method.toUpperCase(),h);s.className='m';el('code','/api/v1'+path,h);
el('p',[o.summary,o.description].filter(Boolean).join(' '));if(o.parameters){const t=el('table');
for(const p of o.parameters){const r=el('tr',undefined,t);el('td',p.name,r);el('td',p.in,r);el('td',p.description||'',r)}}
const t=el('table');for(const[c,r]of Object.entries(o.responses)){const x=el('tr',undefined,t);el('td',c,x);el('td',r.description,x)}}
el('h2','Schemas');for(const[n,s]of Object.entries(d.components.schemas)){el('h3',n);el('p',s.description||'');if(s.properties){
const t=el('table');for(const[k,p]of Object.entries(s.properties)){const r=el('tr',undefined,t);el('td',k,r);
el('td',[].concat(p.type||p.$ref||'').join(' | '),r);el('td',p.description||'',r)}}}});</script></html>"#;

/// The page when the folder of the screens has no index.html.
pub fn no_screens(folder: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Chengmai</title><p>The screens are not built: there is no \
         index.html in <code>{folder}</code>. <code>make screens</code> builds them. \
         The API is at <a href=\"/api/docs\">/api/docs</a>.</p>"
    )
}
