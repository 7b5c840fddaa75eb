import sys,threading,http.client,json
port=int(sys.argv[1]);model=sys.argv[2];n=int(sys.argv[3])
b=json.dumps({"model":model,"messages":[{"role":"user","content":"x "*450000}]})
def w():
    c=http.client.HTTPConnection("127.0.0.1",port,timeout=60)
    try:
        c.request("POST","/v1/chat/completions",b,{"authorization":"Bearer sk-app-0123456789abcdef","content-type":"application/json"});r=c.getresponse();r.read();R.append(r.status)
    except Exception as e:R.append(type(e).__name__)
R=[];ts=[threading.Thread(target=w) for _ in range(n)];[t.start() for t in ts];[t.join() for t in ts]
import collections;print(model,collections.Counter(R))
