import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentLinkedDeque
import org.json.JSONObject

/**
 * Drives the documented client for a test, as `drive.mjs` does: `java DriveKt URL STREAM [TOKEN]`. Posts each line that it is
 * given, and prints comments, frames and states, a JSON object a line. With the token `ask` it prints `{"wants":"token"}`,
 * and a line `token …` answers the newest question. The end of its input stops the client, and nothing else ends this process.
 */
fun main(arguments: Array<String>) {
    val (url, stream) = arguments
    val given = arguments.getOrNull(2)
    val waiting = ConcurrentLinkedDeque<CompletableFuture<String>>()
    val ask = {
        val answer = CompletableFuture<String>().also(waiting::push)
        print("wants" to "token")
        answer.get().ifEmpty { null }
    }
    val watch = StreamWatch(
        url = url.replaceFirst("ws", "http"),
        stream = stream,
        name = System.getenv("VIEWER_NAME") ?: "kotlin",
        token = if (given == "ask") ask else given?.let { { it } },
        onComments = { comments, _ -> comments.forEach { print("seq" to it.getLong("seq"), "body" to it.opt("body")) } },
        onFrame = { print("type" to it.getString("type"), "code" to it.opt("code")) },
        onState = { print("state" to it) },
    )
    for (line in generateSequence(::readLine)) {
        if (given != "ask" || !line.startsWith("token ")) watch.post(line)
        else waiting.poll()?.complete(line.removePrefix("token "))
    }
    watch.stop()
}

private fun print(vararg fields: Pair<String, Any?>) {
    val line = JSONObject()
    fields.forEach { (name, value) -> line.put(name, value) }
    println(line)
}
