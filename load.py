import sys,threading,http.client,json,time,collections
port=int(sys.argv[1]);n=int(sys.argv[2]);dur=float(sys.argv[3]);model=sys.argv[4];key=sys.argv[5] if len(sys.argv)>5 else "sk-app-0123456789abcdef";stream=len(sys.argv)>6
res=collections.Counter();by=collections.Counter();lat=[];end=time.time()+dur;L=threading.Lock()
def w(i):
    c=None;k=0
    while time.time()<end:
        t=time.time();k+=1
        try:
            c=c or http.client.HTTPConnection("127.0.0.1",port,timeout=30)
            b={"model":model,"messages":[{"role":"user","content":"hello %d %d"%(i,k)}],"user":"u%d"%i}
            if stream:b["stream"]=True
            c.request("POST","/v1/chat/completions",json.dumps(b),{"authorization":"Bearer "+key,"content-type":"application/json"})
            r=c.getresponse();d=r.read();ok=str(r.status)
            if stream and r.status==200: ok+=" done" if b"[DONE]" in d and b'"error"' not in d else " err" if b'"error"' in d else " CUT-SILENT"
            with L: by[(r.getheader("x-headworks-upstream") or "")+"/"+(r.getheader("x-headworks-arm") or "")+"/"+(r.getheader("x-headworks-replica") or "")]+=1
        except Exception as e:
            ok=type(e).__name__;c=None
        with L: res[ok]+=1;lat.append(time.time()-t)
ts=[threading.Thread(target=w,args=(i,)) for i in range(n)];[t.start() for t in ts];[t.join() for t in ts]
lat.sort();print(dict(res),dict(by),"p50 %.3f p99 %.3f max %.3f"%(lat[len(lat)//2],lat[int(len(lat)*.99)],lat[-1]))
