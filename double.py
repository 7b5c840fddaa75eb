#!/usr/bin/env python3
# double.py PORT : OpenAI-compatible double; POST /_ctl {json} sets behaviour; GET /_log
import sys,json,time,threading
from http.server import *
S=dict(mode="ok",delay=0.0,tokdelay=0.01,ntok=5,text="word ",errrate=0,metrics="on",running=0,waiting=0,kv=0.1,start=time.time(),gpu="",status=500,usage=[10,5])
LOG=[];lock=threading.Lock();import random
class H(BaseHTTPRequestHandler):
    protocol_version="HTTP/1.1"
    def log_message(self,*a):pass
    def js(self,o,code=200,h={}):
        b=json.dumps(o).encode();self.send_response(code);self.send_header("content-type","application/json");self.send_header("content-length",str(len(b)))
        for k,v in h.items(): self.send_header(k,v)
        self.end_headers();self.wfile.write(b)
    def do_GET(self):
        if self.path=="/_log":
            with lock: return self.js(LOG[-200:])
        with lock: LOG.append(dict(t=time.time(),m="GET",path=self.path,h=dict(self.headers)))
        if self.path=="/metrics":
            m=S["metrics"]
            if m=="404": return self.js({},404)
            if m=="hang": time.sleep(30);return
            if m=="huge":
                self.send_response(200);self.send_header("content-type","text/plain");self.end_headers();self.close_connection=True
                try:
                    while True: self.wfile.write(b"# x"*10000+b"\n")
                except Exception: return
            b=S.get("page") or f'''# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="m"}} {S["running"]}
vllm:num_requests_waiting{{model_name="m"}} {S["waiting"]}
vllm:kv_cache_usage_perc{{model_name="m"}} {S["kv"]}
vllm:cache_config_info{{block_size="16",num_gpu_blocks="1000"}} 1.0
process_start_time_seconds {S["start"]}
vllm:prompt_tokens_total{{model_name="m"}} {len(LOG)*10}
vllm:generation_tokens_total{{model_name="m"}} {len(LOG)*10}
'''
            b=b.encode();self.send_response(200);self.send_header("content-type","text/plain");self.send_header("content-length",str(len(b)));self.end_headers();self.wfile.write(b);return
        if self.path=="/gpu":
            b=S["gpu"].encode();self.send_response(200);self.send_header("content-length",str(len(b)));self.end_headers();self.wfile.write(b);return
        if self.path.endswith("/models"): return self.js({"object":"list","data":[{"id":"m"}]})
        self.js({"path":self.path},404)
    def do_POST(self):
        n=int(self.headers.get("content-length") or 0)
        if self.headers.get("transfer-encoding"): 
            body=b""
            while True:
                l=int(self.rfile.readline().strip(),16)
                body+=self.rfile.read(l);self.rfile.readline()
                if l==0:break
        else: body=self.rfile.read(n)
        if self.path=="/_ctl":
            S.update(json.loads(body));return self.js(S)
        if self.path=="/_clear":
            with lock: LOG.clear()
            return self.js({})
        with lock: LOG.append(dict(t=time.time(),m="POST",path=self.path,h=dict(self.headers),body=body.decode("utf8","replace")))
        q=json.loads(body or b"{}");mode=S["mode"]
        if mode=="hang": time.sleep(120);return
        if random.random()<S["errrate"]: mode="err"
        if mode=="err": return self.js({"error":{"message":"boom","type":"x"}},S["status"])
        if mode=="ra": return self.js({"error":{"message":"slow"}},429,{"retry-after":"5"})
        if mode=="drop": self.connection.close();self.close_connection=True;return
        time.sleep(S["delay"])
        u={"prompt_tokens":S["usage"][0],"completion_tokens":S["usage"][1],"total_tokens":sum(S["usage"])}
        if q.get("stream"):
            self.send_response(200);self.send_header("content-type","text/event-stream");self.send_header("transfer-encoding","chunked");self.end_headers()
            def ev(s):
                s=("data: "+s+"\n\n").encode();self.wfile.write(b"%x\r\n"%len(s)+s+b"\r\n");self.wfile.flush()
            try:
                for i in range(S["ntok"]):
                    if mode=="cut" and i==2: self.connection.close();self.close_connection=True;return
                    if mode=="softcut" and i==2: self.wfile.write(b"0\r\n\r\n");return
                    if mode=="hangmid" and i==2: time.sleep(120);return
                    ev(json.dumps({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":S["text"]},"finish_reason":None}]}));time.sleep(S["tokdelay"])
                ev(json.dumps({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}))
                ev(json.dumps({"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":u}))
                ev("[DONE]");self.wfile.write(b"0\r\n\r\n")
            except Exception: self.close_connection=True
            return
        o={"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":S["text"]*S["ntok"]},"finish_reason":S.get("finish","stop")}],"usage":u}
        if S.get("kvp"): o["kv_transfer_params"]=S["kvp"]
        if mode=="cut":
            b=json.dumps(o).encode();self.send_response(200);self.send_header("content-type","application/json");self.send_header("content-length",str(len(b)+50));self.end_headers();self.wfile.write(b);self.connection.close();self.close_connection=True;return
        self.js(o)
class T(ThreadingHTTPServer): daemon_threads=True;request_queue_size=256
T(("127.0.0.1",int(sys.argv[1])),H).serve_forever()
